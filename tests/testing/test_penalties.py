"""The checks of regularisers, augmentations and degradations: each fault is found, and reported in one line that names it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.testing.samples import (
    AUGMENTATION,
    DEGRADATION,
    REGULARIZER,
    altered,
    assert_every_check_finds_a_fault,
    assert_faults,
    broken,
    faults,
    part,
)

if TYPE_CHECKING:
    from tests.testing.conftest import Write

PENALTY, CALL = "return mean(discriminator(real)).square()", "forward(discriminator, real, fake)"
INTERVAL = "    interval = 4\n"
WITH_INIT = INTERVAL + "\n    def __init__(self):\n        super().__init__()\n        self.unit = torch.ones(3)\n"
REGULARIZERS: dict[str, tuple[Any, ...]] = {
    "no module": ("Penalty(nn.Module)", "Penalty", {"builds": ("Penalty", "nn.Module")}),
    "no interval": (INTERVAL, "", {"builds": ("interval", "None", "1")}),
    "an interval of zero": (INTERVAL, "    interval = 0\n", {"builds": ("interval", "0")}),
    "untyped option": (INTERVAL, INTERVAL + "\n    def __init__(self, weight=1.0):\n        super().__init__()\n",
                       {"options": ("type", "option weight")}),
    "plain tensor": (INTERVAL, WITH_INIT, {"tensors": ("self.unit", "register_buffer")}),
    "no scalar": (PENALTY, PENALTY + "[None]", {"scalars": (CALL, "scalar", "batch of 1")}),
    "one scale": ("([scores] if torch.is_tensor(scores) else scores)", "[scores]", {"scalars": "list"}),
    "not finite": (PENALTY, "return mean(discriminator(real)) / 0", {"scalars": (CALL, "finite")}),
    "no gradient": (PENALTY, "return mean(discriminator(real)).square().detach()",
                    {"gradients": (CALL, "gradient", "create_graph")}),
    "float32 only": (PENALTY, PENALTY + ".float()", {"float64": (CALL, "float32", "float64")}),
}  # fmt: skip

CHANGE = "return torch.where(torch.rand(len(image), 1, 1, 1, device=image.device) < 0.5, image.flip(3), image)"
CLASS = "class Mirrored(nn.Module):\n"
AUGMENTATIONS: dict[str, tuple[Any, ...]] = {
    "no module": ("Mirrored(nn.Module)", "Mirrored", {"builds": ("Mirrored", "nn.Module")}),
    "untyped option": (CLASS, CLASS + "    def __init__(self, share=0.5):\n        super().__init__()\n\n",
                       {"options": ("type", "option share")}),
    "plain tensor": (CLASS, CLASS + "    def __init__(self):\n        super().__init__(); self.grey = torch.ones(3)\n\n",
                     {"tensors": ("self.grey", "register_buffer")}),
    "another size": (CHANGE, "return image[..., 1:]", {"images": ("shape", "finite")}),
    "not finite": (CHANGE, "return image / 0", {"images": "finite"}),
    "changes its input": (CHANGE, "return image.mul_(torch.rand(len(image), 1, 1, 1, device=image.device))",
                          {"images": ("input", "clone")}),
    "a generator of its own": (CHANGE, "import os; return image * (os.urandom(1)[0] / 255)", {"seed": ("seed", "torch")}),
    "no gradient": (CHANGE, "return image.detach() * torch.rand(len(image), 1, 1, 1, device=image.device)",
                    {"gradient of the image": ("gradient", "detach")}),
    "float32 only": (CHANGE, "return image.float() * 0.5", {"float64": ("float32", "float64")}),
    "made on the CPU": (CHANGE, "return image + torch.zeros(3, 1, 1, dtype=image.dtype)", {"devices": "device="}),
}  # fmt: skip

HALVE = "return torch.where(torch.rand(len(image), 1, 1, 1, device=image.device) < 0.5, small.flip(3), small)"
HALVED = "class Halved(nn.Module):\n"
DEGRADATIONS: dict[str, tuple[Any, ...]] = {
    "no module": ("Halved(nn.Module)", "Halved", {"builds": ("Halved", "nn.Module")}),
    "no whole scale": ("scale = 2", "scale = 0.5", {"builds": ("scale", "0.5")}),
    "untyped option": (HALVED, HALVED + "    def __init__(self, share=0.5):\n        super().__init__()\n\n",
                       {"options": ("type", "option share")}),
    "plain tensor": (HALVED, HALVED + "    def __init__(self):\n        super().__init__(); self.grey = torch.ones(3)\n\n",
                     {"tensors": ("self.grey", "register_buffer")}),
    "another size": (HALVE, "return image", {"images": ("(1, 3, 32, 32)", "scale is 2")}),
    "out of range": (HALVE, "return small * 3", {"images": ("[0, 1]",)}),
    "changes its input": (HALVE, "return image.mul_(0.5)[..., : small.shape[2], : small.shape[3]]",
                          {"images": ("input", "clone")}),
    "a generator of its own": (HALVE, "import os; return small * (os.urandom(1)[0] / 255)", {"seed": ("seed", "torch")}),
    "float32 only": (HALVE, "return small.float() * 0.5", {"float64": ("float32", "float64")}),
    "made on the CPU": (HALVE, "return small * torch.ones(3, 1, 1, dtype=image.dtype)", {"devices": "device="}),
}  # fmt: skip

BROKEN = broken(
    ("regularizer", REGULARIZER, REGULARIZERS),
    ("augmentation", AUGMENTATION, AUGMENTATIONS),
    ("degradation", DEGRADATION, DEGRADATIONS),
)


@pytest.mark.parametrize(("source", "changes", "expected"), BROKEN)
def test_each_fault_is_reported_in_one_line(
    write: Write, source: str, changes: list[str], expected: dict[str, Any]
) -> None:
    assert_faults(faults(part(write(altered(source, changes)))), expected)


def test_every_check_finds_a_fault() -> None:
    assert_every_check_finds_a_fault(["regularizer"], [REGULARIZERS])
    assert_every_check_finds_a_fault(["augmentation"], [AUGMENTATIONS])
    assert_every_check_finds_a_fault(["degradation"], [DEGRADATIONS])
