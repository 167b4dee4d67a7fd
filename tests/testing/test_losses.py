"""Each way in which a loss breaks the contract is told in words of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.testing.samples import ADVERSARIAL, IMAGE_LOSS, altered, assert_told, faults, part

if TYPE_CHECKING:
    from tests.testing.conftest import Write


ADVERSARIALS = {
    "verbs": ("def fool", "def full", {"builds": "An adversarial loss has real, fake and fool; this one lacks fool."}),
    "sense": ("def fool(self, scores):\n        return self.real", "def fool(self, scores):\n        return self.fake",
              {"sense": "fool(scores) must be lower for higher scores."}),
    "exchanged": ("def real", "def other", "def fake", "def real", "def other", "def fake", "self.real(scores)",
                  "self.fake(scores)", {"sense": "real(scores) must be lower for higher scores."}),
    "scales": ("([scores] if torch.is_tensor(scores) else scores)", "[scores]",
               {"scales": "real(scores) must take a list of scores too, one of each scale: average over them."}),
    "gradient": ("(1 - s).mean()", "(1 - s.detach()).mean()",
                 {"gradients": "real(scores) must have a finite gradient for its first argument"}),
}  # fmt: skip

DIFFERS = "return (output - reference).square().mean()"
IMAGE_LOSSES = {
    "no scalar": (".mean()", "", {"scalars": "forward(output, reference) must return a finite scalar, for a batch of 1 too."}),
    "other sense": (DIFFERS, "return -(output - reference).abs().mean()", {"sense": "a loss is to fall as pictures grow"}),
    "float32 only": (DIFFERS, DIFFERS + ".float()", {"float64": "forward(output, reference) gave float32 for float64."}),
    "made on the CPU": (DIFFERS, "return (output - reference + torch.zeros(3, 1, 1)).square().mean()",
                        {"devices": "On another device forward(output, reference) fails"}),
}  # fmt: skip

BROKEN = [
    pytest.param(source, case[:-1], case[-1], id=f"{kind}: {name}")
    for kind, source, cases in [
        ("adversarial loss", ADVERSARIAL, ADVERSARIALS),
        ("image loss", IMAGE_LOSS, IMAGE_LOSSES),
    ]
    for name, case in cases.items()
]


@pytest.mark.parametrize(("source", "changes", "told"), BROKEN)
def test_each_fault_is_one_line_of_its_own(write: Write, source: str, changes: list[str], told: dict[str, str]) -> None:
    assert_told(faults(part(write(altered(source, changes)))), told)


GOOD = {
    "contrastive": (IMAGE_LOSS, DIFFERS, "return 1 + (output - reference).square().mean()"),
    "of the output alone": (IMAGE_LOSS, DIFFERS, "return output.diff(dim=-1).abs().mean()"),
    "random patches": (IMAGE_LOSS, DIFFERS,
                       "i = int(torch.randint(32, ())); return (output - reference)[..., i:].abs().mean()"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("case", GOOD.values(), ids=GOOD)
def test_what_is_unusual_and_good_is_no_fault(write: Write, case: tuple[str, ...]) -> None:
    source, *changes = case
    assert faults(part(write(altered(source, changes)))) == {}
