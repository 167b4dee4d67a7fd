"""The checks of metrics: each fault is found, and reported in one line that names it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.testing.samples import (
    METRIC,
    SET_METRIC,
    altered,
    assert_every_check_finds_a_fault,
    assert_faults,
    broken,
    faults,
    part,
)

if TYPE_CHECKING:
    from tests.testing.conftest import Write

CALL = "forward(output, reference)"
VALUE = "return (output - reference).square().mean((1, 2, 3))"
HIGHER = "    higher = False\n"
IMAGES: dict[str, tuple[Any, ...]] = {
    "no module": ("Distance(nn.Module)", "Distance", {"builds": ("Distance", "nn.Module")}),
    "against something else": ('against = "content"', 'against = "photo"', {"builds": ("against", "'photo'", "content")}),
    "no direction": (HIGHER, "", {"builds": ("higher", "None", "True")}),
    "untyped option": (HIGHER, HIGHER + "\n    def __init__(self, weight=1.0):\n        super().__init__()\n",
                       {"options": ("type", "option weight")}),
    "plain tensor": (HIGHER, HIGHER + "\n    def __init__(self):\n        super().__init__(); self.unit = torch.ones(3)\n",
                     {"tensors": ("self.unit", "register_buffer")}),
    "one value for all": (VALUE, "return (output - reference).square().mean()", {"shapes": (CALL, "(1,)")}),
    "not finite": (VALUE, VALUE + " / 0", {"shapes": (CALL, "finite")}),
    "the wrong direction": (HIGHER, HIGHER.replace("False", "True"), {"sense": (CALL, "higher is True")}),
    "relative to the batch": (VALUE, VALUE + " / (output.mean() + 1)", {"batches": (CALL, "one by one")}),
    "random": (VALUE, VALUE + " * (1 + torch.rand_like(output).mean((1, 2, 3)))", {"batches": (CALL, "call to call", "seed")}),
    "float32 only": (VALUE, VALUE + ".float()", {"float64": (CALL, "float32", "float64")}),
    "made on the CPU": (VALUE, VALUE + " * torch.ones(1)", {"devices": "device="}),
}  # fmt: skip
SETS: dict[str, tuple[Any, ...]] = {
    "no rows": ("image.mean((2, 3))", "image.mean((2, 3)).T", {"shapes": ("features(image)", "(8, D)")}),
    "a value for each": (".square().sum()", ".square()", {"shapes": (CALL, "scalar", "sets")}),
    "features of a batch": ("image.mean((2, 3))", "image.mean((2, 3)) - image.mean()",
                            {"batches": ("features(image)", "one by one")}),
}  # fmt: skip
BROKEN = broken(("images", METRIC, IMAGES), ("sets", SET_METRIC, SETS))


@pytest.mark.parametrize(("source", "changes", "expected"), BROKEN)
def test_each_fault_is_reported_in_one_line(
    write: Write, source: str, changes: list[str], expected: dict[str, Any]
) -> None:
    assert_faults(faults(part(write(altered(source, changes)))), expected)


def test_every_check_finds_a_fault() -> None:
    assert_every_check_finds_a_fault(["metric"], [IMAGES, SETS])
