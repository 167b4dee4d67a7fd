"""The checks of losses: each fault is found, and reported in one line that names it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.testing.samples import (
    ADVERSARIAL,
    IMAGE_LOSS,
    altered,
    assert_every_check_finds_a_fault,
    assert_faults,
    broken,
    faults,
    line,
    part,
    summary,
)

if TYPE_CHECKING:
    from tests.testing.conftest import Write

INIT, FLAG = "super().__init__()", "relativistic = False"
JUDGES, FOOLS = "return mean(fake) - mean(real)", "return -mean(fake)"
DISCRIMINATOR, GENERATOR = "discriminator(real, fake)", "generator(fake, real)"
ADVERSARIALS: dict[str, tuple[Any, ...]] = {
    "no module": ("(nn.Module)", "", INIT, "pass", {"builds": ("Loss", "adversarial loss", "nn.Module")}),
    "no discriminator": ("def discriminator", "def judge", {"builds": ("lacks discriminator", "define")}),
    "no generator": ("def generator", "def fool", {"builds": ("lacks generator", "define")}),
    "neither function": ("def discriminator", "def judge", "def generator", "def fool",
                         {"builds": "lacks discriminator and generator"}),
    "no relativistic": (FLAG, "", {"builds": ("relativistic", "True", "False")}),
    "relativistic is no bool": (FLAG, "relativistic = 1", {"builds": ("relativistic", "True", "False")}),
    "untyped option": ("def __init__(self)", "def __init__(self, margin=1.0)", {"options": ("type", "option margin")}),
    "plain tensor": (INIT, INIT + "; self.label = torch.ones(1)", {"tensors": ("self.label", "register_buffer")}),
    "no scalar": (JUDGES, "return (mean(fake) - mean(real))[None]", {"scalars": (DISCRIMINATOR, "scalar", "batch of 1")}),
    "no scalar for the generator": (FOOLS, "return -mean(fake)[None]", {"scalars": (GENERATOR, "scalar", "batch of 1")}),
    "no tensor": (FOOLS, "return -float(mean(fake).detach())", {
        "scalars": (GENERATOR, "scalar"), "gradients": "'float' object", "float64": "'float' object",
    }),
    "scalar for one image only": (
        FOOLS, "return -fake.mean((1, 2, 3)).squeeze() if torch.is_tensor(fake) else -mean(fake)",
        {"scalars": (GENERATOR, "scalar", "batch of 3")},
    ),
    "not finite": (JUDGES, "return mean(fake) - mean(real) / (0 * mean(real))", {
        "scalars": (DISCRIMINATOR, "finite"), "scales": DISCRIMINATOR, "gradients": (DISCRIMINATOR, "finite"),
    }),
    "needs real scores": (FOOLS, "return mean(real) - mean(fake)", {
        "scalars": (line(ADVERSARIAL, "return torch.stack"), "TypeError"), "scales": "generator(fake)",
    }),
    "rises with real scores": (JUDGES, "return mean(fake) + mean(real)", {"sense": (DISCRIMINATOR, "real scores rise")}),
    "falls with fake scores": (JUDGES, "return -mean(fake) - mean(real)", {"sense": (DISCRIMINATOR, "fake scores fall")}),
    "exchanged scores": (JUDGES, "return mean(real) - mean(fake)", {"sense": DISCRIMINATOR}),
    "generator rises with fake scores": (FOOLS, "return mean(fake)", {"sense": (GENERATOR, "fake scores rise")}),
    "one scale": ("([scores] if torch.is_tensor(scores) else scores)", "[scores]", {"scales": (DISCRIMINATOR, "lists")}),
    "one scale for the generator": (FOOLS, "return -fake.mean()", {"scales": (GENERATOR, "lists of scores")}),
    "no gradient": (JUDGES, "return mean(fake) - mean(real).detach()", {"gradients": (DISCRIMINATOR, "gradient", "detach")}),
    "no gradient for the generator": (FOOLS, "return -mean(fake).detach()", {"gradients": (GENERATOR, "gradient", "detach")}),
    "float32 only": (JUDGES, "return (mean(fake) - mean(real)).float()", {"float64": (DISCRIMINATOR, "float32", "float64")}),
    "made on the CPU": (FOOLS, "return -mean(fake + torch.zeros(4, dtype=fake.dtype) if torch.is_tensor(fake) else fake)",
                        {"devices": (GENERATOR, "device=")}),
}  # fmt: skip

DIFFERS, COMPARES = "return (output - reference).square().mean()", "forward(output, reference)"
CHANGE = "    def change(self, output, reference):\n        "
IMAGE_LOSSES: dict[str, tuple[Any, ...]] = {
    "no module": ("(nn.Module)", "", {"builds": ("Loss", "nn.Module")}),
    "untyped option": ("    def forward", "    def __init__(self, weight=1.0):\n        super().__init__()\n\n    def forward",
                       {"options": ("type", "option weight")}),
    "plain tensor": ("    def forward", "    def __init__(self):\n        super().__init__()\n"
                     "        self.grey = torch.ones(3)\n\n    def forward", {"tensors": ("self.grey", "register_buffer")}),
    "no scalar": (".mean()", "", {"scalars": (COMPARES, "scalar", "batch of 1")}),
    "other sense": (DIFFERS, "return -(output - reference).abs().mean()",
                    {"sense": ("forward(image, image)", "fall", "alike")}),
    "no gradient": (DIFFERS, "return (output.detach() - reference).square().mean()",
                    {"gradients": (COMPARES, "gradient", "detach")}),
    "changes no reference": ("    def forward", f"{CHANGE}return output\n\n    def forward",
                             {"change": ("change(output, reference)", "that reference")}),
    "changes the size": ("    def forward", f"{CHANGE}return output[..., 1:], reference\n\n    def forward",
                         {"change": ("change(output, reference)", "(2, 3, 64, 63)")}),
    "changes in place": ("    def forward", f"{CHANGE}return output, reference.mul_(0.5)\n\n    def forward",
                         {"change": ("change(output, reference)", "must not change")}),
    "changes to infinity": ("    def forward", f"{CHANGE}return output / 0, reference\n\n    def forward",
                            {"change": ("change(output, reference)", "finite")}),
    "float32 only": (DIFFERS, DIFFERS + ".float()", {"float64": (COMPARES, "float32", "float64")}),
    "made on the CPU": (DIFFERS, "return (output - reference + torch.zeros(3, 1, 1)).square().mean()",
                        {"devices": (COMPARES, "device=")}),
}  # fmt: skip

BROKEN = broken(("adversarial loss", ADVERSARIAL, ADVERSARIALS), ("image loss", IMAGE_LOSS, IMAGE_LOSSES))


@pytest.mark.parametrize(("source", "changes", "expected"), BROKEN)
def test_each_fault_is_reported_in_one_line(
    write: Write, source: str, changes: list[str], expected: dict[str, Any]
) -> None:
    assert_faults(faults(part(write(altered(source, changes)))), expected)


def test_every_check_finds_a_fault() -> None:
    assert_every_check_finds_a_fault(["adversarial"], [ADVERSARIALS])
    assert_every_check_finds_a_fault(["loss"], [IMAGE_LOSSES])


def test_a_discriminator_loss_without_a_gradient_for_fake_scores_is_a_fault(write: Write) -> None:
    found = faults(part(write(ADVERSARIAL.replace(JUDGES, "return mean(fake).detach() - mean(real)"))))
    assert_faults(found, {"gradients": (DISCRIMINATOR, "gradient", "detach")})


GOOD = {
    "relativistic": (ADVERSARIAL, FLAG, "relativistic = True", FOOLS, "return mean(real) - mean(fake)"),
    "hinge": (ADVERSARIAL, JUDGES,
              "return mean([(1 + s).relu() for s in ([fake] if torch.is_tensor(fake) else fake)]) - mean(real)"),
    "contrastive": (IMAGE_LOSS, DIFFERS, "return 1 + (output - reference).square().mean()"),
    "of the output alone": (IMAGE_LOSS, DIFFERS, "return output.diff(dim=-1).abs().mean()"),
    "random patches": (IMAGE_LOSS, DIFFERS,
                       "i = int(torch.randint(32, ())); return (output - reference)[..., i:].abs().mean()"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("case", GOOD.values(), ids=GOOD)
def test_a_valid_but_unusual_loss_passes(write: Write, case: tuple[str, ...]) -> None:
    source, *changes = case
    assert faults(part(write(altered(source, changes)))) == {}


def test_a_relativistic_loss_is_never_called_without_real_scores(write: Write) -> None:
    changes = (FLAG, "relativistic = True", FOOLS, "return mean(real) - mean(fake)")
    assert "relativistic" in summary(part(write(altered(ADVERSARIAL, changes))))
