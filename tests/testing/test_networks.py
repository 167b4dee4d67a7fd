"""The checks of generators, discriminators and encoders: each fault is found, and reported in one line that names it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.testing.samples import (
    DISCRIMINATOR,
    ENCODER,
    GENERATOR,
    NET,
    OWN,
    RETURN,
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


NARROWED = f"{RETURN}\n\n    def narrowed(self, keep):\n        return "
INIT, INDEPENDENT = "super().__init__()", "super().__init__(); self.sample_independent = True"
TWICE = ".repeat_interleave(2, -1).repeat_interleave(2, -2)"
GENERATORS: dict[str, tuple[Any, ...]] = {
    "no module": ("(nn.Module)", "", INIT, "", "self.net = ", "self.net = lambda x: 0; ", {"builds": ("Network", "nn.Module")}),
    "forward without style": ("content, style=None", "content", {"builds": ("forward", "(content, style=None)")}),
    "channels": (NET, NET + "; self.channels = 3", {"builds": ("channels", "(1, 3)", 3)}),
    "options": ("width: int", "width", {"options": ("type", "option width")}),
    "cropped": (RETURN, RETURN + "[..., 1:, :]", {
        "size and range": ("forward(content)", "(1, 3, 63, 64)", "(1, 3, 64, 64)"),
    }),
    "even sides only": (RETURN, f"{RETURN}[..., ::2, ::2]{TWICE}", {"odd sizes": ("(1, 3, 70, 58)", "(1, 3, 69, 57)")}),
    "range": (RETURN, "return 2 * self.net(content).sigmoid() - 2", {
        "size and range": ("forward(content)", "[0, 1]"),
    }),
    "NaN": (RETURN, "return self.net(content) + (content == content.max()) / 0 * 0",
            {"size and range": ("forward(content)", "NaN or infinity")}),
    "list": (RETURN, "return [self.net(content)]", {"size and range": ("forward(content)", "tensor", "list")}),
    "bytes": (RETURN, "return (255 * self.net(content)).byte()", {
        "size and range": ("float", "torch.uint8"),
        "float64": ("forward", "uint8", "float64"),
        "gradients": ("'net.weight'", "gradient"),
    }),
    "error": (RETURN, "return {}['nothing']", {"size and range": (line(GENERATOR, RETURN), "mine.py", "KeyError: 'nothing'")}),
    "not grey": (NET, NET + "; self.channels = (1, 3)", {"channels": (line(GENERATOR, RETURN), "mine.py", "RuntimeError")}),
    "not independent": (INIT, INDEPENDENT,
                        RETURN, "return (self.net(content) - content.mean((0, 2, 3), keepdim=True)).sigmoid()",
                        {"independence": ("sample_independent = False", "eval mode", "batch")}),
    "independent in eval only": (INIT, INDEPENDENT, NET, "self.net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))",
                                 {"independence": ("sample_independent = False", "train mode", "batch")}),
    "float32 only": (RETURN, "return self.net(content).sigmoid().float()", {"float64": ("forward", "float32", "float64")}),
    "plain tensor": (NET, NET + "; self.mean = torch.full((3, 1, 1), 0.5)",
                     RETURN, "return (self.net(content) + self.mean).sigmoid()",
                     {"tensors": ("self.mean of Network", "register_buffer('mean'")}),
    "made on the CPU": (RETURN, "return (self.net(content) + torch.zeros(3, 1, 1)).sigmoid()",
                        {"devices": ("forward", "torch.zeros(3, device=image.device, dtype=image.dtype)")}),
    "own random numbers": (NET, NET + f"; nn.init.constant_(self.net.weight, {OWN})",
                           {"seed": ("'net.weight'", "builds", "seed")}),
    "noise of its own": (RETURN, f"return (self.net(content) + {OWN}).sigmoid()", {"seed": ("forward", "eval mode", "seed")}),
    "flat": (RETURN, "return self.net(content).sigmoid().round()", {"gradients": ("gradient", "zero", "round()")}),
    "writes into its input": (RETURN, "content.mul_(0.5); " + RETURN,
                              {"size and range": ("forward", "input", "content.clone()")}),
    "idle parameter": (NET, NET + "; self.idle = nn.Linear(2, 2)", {"gradients": ("'idle.weight'", "requires_grad_(False)")}),
    "gradient of NaN": (RETURN, "return (self.net(content) - self.net(content)).abs().sqrt()",
                        {"gradients": ("'net.weight'", "NaN")}),
    "state not kept": (NET, NET + "; self.register_buffer('shade', torch.rand(3, 1, 1), persistent=False)",
                       RETURN, "return (self.net(content) + self.shade).sigmoid()",
                       {"save and load": ("saved and loaded", "parameters or buffers")}),
    "no graph": (RETURN, f"return content if content.mean() > 2 else {RETURN[7:]}",
                 {"export": ("torch.export", "forward", "GuardOnDataDependentSymNode")}),
    "twice the size": (RETURN, RETURN + TWICE, {
        "size and range": ("(1, 3, 128, 128)", "(1, 3, 64, 64)", "scale"),
    }),
    "narrowed without weights": (RETURN, NARROWED + "{}, {}", {"narrowing": ("narrowed(0.5)", "'net.weight'")}),
    "narrowed to another network": (RETURN, NARROWED + "{}, {key: 0 * each for key, each in self.state_dict().items()}",
                                    {"narrowing": ("narrowed(1)", "same network")}),
    "only says that it doubles the size": (NET, NET + "; self.scale = 2", {
        "size and range": ("(1, 3, 64, 64)", "(1, 3, 128, 128)", "scale is 2"),
    }),
}  # fmt: skip

SCORES = "return self.net(image).mean((2, 3))"
FEATURES = "return [self.net(image), self.net(image).relu()]"
DISCRIMINATORS: dict[str, tuple[Any, ...]] = {
    "no batch": (SCORES, "return self.net(image).mean()", {"scores": ("forward(image)", "scores", "row")}),
    "no scores": (SCORES, "return {'a': self.net(image)}", {"scores": ("forward(image)", "scores", "list")}),
    "infinite": (SCORES, "return self.net(image).mean((2, 3)).detach() / 0 + self.net(image).mean((2, 3))",
                 {"scores": ("forward(image)", "scores", "NaN or infinity")}),
    "one size only": (SCORES, "return self.net(image).flatten(1).view(-1, 2, 1024).mean(2)",
                      {"odd sizes": (line(DISCRIMINATOR, SCORES), "mine.py", "RuntimeError")}),
    "no gradient for the image": (SCORES, "return self.net(image.detach()).mean((2, 3))",
                                  {"gradient of the image": ("gradient", "image", "detach")}),
    "idle parameter": ("self.net =", "self.idle = nn.Linear(2, 2); self.net =", {"gradients": ("'idle.weight'", "gradient")}),
    "no list of features": (FEATURES, "return self.net(image)", {"features": ("features(image)", "list")}),
    "no features": (FEATURES, "return []", {"features": ("features(image)", "list")}),
    "features by name": (FEATURES, "return {'a': self.net(image)}", {"features": ("features(image)", "list")}),
    "features without a batch": (FEATURES, "return [self.net(image).mean((0, 1))]", {"features": ("features", "row")}),
    "features of NaN": (FEATURES, "return [self.net(image) * float('nan')]", {"features": ("features", "NaN")}),
    "features that fail": (FEATURES, "return [self.net(image)][1]",
                           {"features": (line(DISCRIMINATOR, FEATURES), "mine.py", "IndexError")}),
}  # fmt: skip

ENCODERS: dict[str, tuple[Any, ...]] = {
    "learns": (".requires_grad_(False)", "", {"gradients": ("encoder", "frozen", "requires_grad_(False)")}),
    "follows statistics": ("nn.Conv2d(3, 4, 3)", "nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))",
                           {"gradients": ("'net.1.running_mean'", "train mode", "frozen", "train(False)")}),
    "no layers": ('{"first": self.net(image)}', "self.net(image)", {"features": ("forward(image)", "{layer: features}")}),
    "batch": ("self.net(image)}", "self.net(image).mean(0)}", {"features": ("forward(image)", "row", "features")}),
    "not finite": ("self.net(image)}", "self.net(image) + (image.mean() / 0)}",
                   {"features": ("features", "NaN or infinity")}),
    "no gradient for the image": ("    def forward", "    @torch.no_grad()\n    def forward",
                                  {"gradient of the image": ("gradient", "image", "no_grad")}),
}  # fmt: skip

BROKEN = broken(
    ("generator", GENERATOR, GENERATORS),
    ("discriminator", DISCRIMINATOR, DISCRIMINATORS),
    ("encoder", ENCODER, ENCODERS),
)


@pytest.mark.parametrize(("source", "changes", "expected"), BROKEN)
def test_each_fault_is_reported_in_one_line(
    write: Write, source: str, changes: list[str], expected: dict[str, Any]
) -> None:
    assert_faults(faults(part(write(altered(source, changes)))), expected)


def test_every_check_finds_a_fault() -> None:
    assert_every_check_finds_a_fault(["generator"], [GENERATORS])
    kinds = ["generator", "discriminator", "encoder"]  # most of their checks are shared
    assert_every_check_finds_a_fault(kinds, [GENERATORS, DISCRIMINATORS, ENCODERS])


GOOD = {
    "noise": (GENERATOR, RETURN, "return (self.net(content) + torch.randn_like(content)).sigmoid()"),
    "lazy": (GENERATOR, NET, "self.net = nn.LazyConv2d(3, 1)"),
    "a gate that starts closed": (GENERATOR, NET, NET + "; self.gate = nn.Parameter(torch.zeros(1))",
                                  RETURN, "return (self.gate * self.net(content)).sigmoid()"),
    "partial": (GENERATOR, "import random", "import functools",
                "mine\": Network", "mine\": functools.partial(Network, width=3)"),
    "twice the size": (GENERATOR, NET, NET + "; self.scale = 2", RETURN, RETURN + TWICE),
    "spectral_norm": (DISCRIMINATOR, "nn.Conv2d(3, 2, 4, 4)", "nn.utils.spectral_norm(nn.Conv2d(3, 2, 4, 4))"),
    "weight_norm": (GENERATOR, "nn.Conv2d(3, 3, 1)", "nn.utils.weight_norm(nn.Conv2d(3, 3, 1))"),
    "several scales": (DISCRIMINATOR, SCORES, "return [self.net(image), self.net(image[..., ::2, ::2])]"),
    "no features": (DISCRIMINATOR, "def features", "def others"),
    "conditional": (DISCRIMINATOR, "def forward(self, image):", "def forward(self, image, condition=None):"),
    "frozen statistics": (ENCODER, "nn.Conv2d(3, 4, 3)", "nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))",
                          "    def forward",
                          "    def train(self, mode=True):\n        return super().train(False)\n\n    def forward"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("case", GOOD.values(), ids=GOOD)
def test_a_valid_but_unusual_network_passes(write: Write, case: tuple[str, ...]) -> None:
    source, *changes = case
    assert faults(part(write(altered(source, changes)))) == {}


def test_a_network_is_tried_with_every_number_of_channels_that_it_declares(write: Write) -> None:
    subject = part(write(altered(GENERATOR, (NET, "self.channels = (1, 3)", RETURN, "return 1 - content"))))
    assert faults(subject) == {}
    assert "channels 1, 3" in summary(subject)


def test_the_report_says_how_a_generator_scales_and_how_many_feature_maps_a_discriminator_has(write: Write) -> None:
    scaled = part(write(altered(GENERATOR, (NET, NET + "; self.scale = 2", RETURN, RETURN + TWICE))))
    assert "2 x 64x64" in summary(scaled)
    assert "2 feature maps" in summary(part(write(DISCRIMINATOR)))
