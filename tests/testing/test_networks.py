"""Each way in which a generator, a discriminator or an encoder breaks the contract is told in words of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.testing.samples import (
    DISCRIMINATOR,
    ENCODER,
    GENERATOR,
    NET,
    OWN,
    SHOWN,
    altered,
    assert_told,
    faults,
    part,
    seen,
)

if TYPE_CHECKING:
    from tests.testing.conftest import Write


INIT, TOLD = "super().__init__()", "super().__init__(); self.sample_independent = True"
GENERATORS = {
    "forward without style": ("content, style=None", "content", {"builds": "forward must take (content, style=None)"}),
    "channels": (NET, NET + "; self.channels = 3", {"builds": "channels names the numbers of channels that it takes"}),
    "options": ("width: int", "width", {"options": "Give a type to the option width"}),
    "cropped": (SHOWN, SHOWN + "[..., 1:, :]", {"size and range": "forward(content) gave (1, 3, 63, 64)",
                                            "odd sizes": "gave (1, 3, 68, 57) for (1, 3, 69, 57)"}),
    "even sides only": (SHOWN, f"{SHOWN}[..., ::2, ::2].repeat(1, 1, 2, 2)",
                        {"odd sizes": "gave (1, 3, 70, 58) for (1, 3, 69, 57): keep the size, pad and crop."}),
    "range": (SHOWN, "return 2 * self.net(content).sigmoid() - 2", {"size and range": "images are in [0, 1]."}),
    "NaN": (SHOWN, "return self.net(content) + (content == content.max()) / 0 * 0",
            {"size and range": "forward(content) gave NaN or infinity."}),
    "list": (SHOWN, "return [self.net(content)]", {"size and range": "forward(content) must return a tensor, not list."}),
    "bytes": (SHOWN, "return (255 * self.net(content)).byte()",
              {"size and range": "must return a float image, not torch.uint8.",
               "float64": "forward gave uint8 for float64",
               "gradients": "The parameter 'net.weight' gets no gradient"}),
    "error": (SHOWN, "return {}['nothing']", {"size and range": "It fails in line 20 of"}),
    "not grey": (NET, NET + "; self.channels = (1, 3)", {"channels": "It fails in line 20 of"}),
    "not independent": (INIT, TOLD, SHOWN, "return (self.net(content) - content.mean((0, 2, 3), keepdim=True)).sigmoid()",
                        {"independence": "in eval mode a picture gives something else in a batch"}),
    "independent in eval only": (INIT, TOLD, NET, "self.net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))",
                                 {"independence": "in train mode a picture gives something else in a batch"}),
    "float32 only": (SHOWN, "return self.net(content).sigmoid().float()", {"float64": "forward gave float32 for float64."}),
    "plain tensor": (NET, NET + "; self.mean = torch.full((3, 1, 1), 0.5)",
                     SHOWN, "return (self.net(content) + self.mean).sigmoid()",
                     {"tensors": "self.mean of Network is a plain tensor, which stays behind when the part moves: register"}),
    "made on the CPU": (SHOWN, "return (self.net(content) + torch.zeros(3, 1, 1)).sigmoid()",
                        {"devices": "torch.zeros(3, device=image.device, dtype=image.dtype)"}),
    "own random numbers": (NET, NET + f"; nn.init.constant_(self.net.weight, {OWN})",
                           {"seed": "'net.weight' differs between two builds of one seed"}),
    "noise of its own": (SHOWN, f"return (self.net(content) + {OWN}).sigmoid()",
                         {"seed": "forward must give the same twice, in eval mode: draw it with torch's own"}),
    "flat": (SHOWN, "return self.net(content).sigmoid().round()", {"gradients": "Every gradient is zero, so it learns"}),
    "writes into its input": (SHOWN, "content.mul_(0.5); " + SHOWN, {"size and range": "forward changes its input: work on a"}),
    "idle parameter": (NET, NET + "; self.idle = nn.Linear(2, 2)", {"gradients": "'idle.weight' gets no gradient. Use it"}),
    "gradient of NaN": (SHOWN, "return (self.net(content) - self.net(content)).abs().sqrt()",
                        {"gradients": "The gradient of 'net.weight' is NaN or infinite."}),
    "state not kept": (NET, NET + "; self.register_buffer('shade', torch.rand(3, 1, 1), persistent=False)",
                       SHOWN, "return (self.net(content) + self.shade).sigmoid()",
                       {"save and load": "Saved and loaded, it gives something else"}),
    "no graph": (SHOWN, f"return content if content.mean() > 2 else {SHOWN[7:]}",
                 {"export": "torch.export cannot take forward: GuardOnDataDependentSymNode"}),
}  # fmt: skip

SCORES = "return self.net(image).mean((2, 3))"
DISCRIMINATORS = {
    "no batch": (SCORES, "return self.net(image).mean()", {"scores": "one row of scores a picture"}),
    "no scores": (SCORES, "return {'a': self.net(image)}", {"scores": "forward(image) must return scores, or a list of them."}),
    "infinite": (SCORES, "return self.net(image).mean((2, 3)).detach() / 0 + self.net(image).mean((2, 3))",
                 {"scores": "forward(image) gave scores of NaN or"}),
    "no gradient": (SCORES, "return self.net(image.detach()).mean((2, 3))",
                    {"gradient of the picture": "must have a gradient for the picture"}),
}  # fmt: skip

ENCODERS = {
    "learns": (".requires_grad_(False)", "", {"gradients": "An encoder is frozen: requires_grad_(False)."}),
    "follows statistics": ("nn.Conv2d(3, 4, 3)", "nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))",
                           {"gradients": "forward changes 'net.1.running_mean' in train mode, and an encoder is frozen"}),
    "no layers": ('{"first": self.net(image)}', "self.net(image)", {"features": "must return {layer: features}."}),
    "batch": ("self.net(image)}", "self.net(image).mean(0)}", {"features": "one row of features a picture"}),
    "no gradient": ("    def forward", "    @torch.no_grad()\n    def forward",
                    {"gradient of the picture": "leave no_grad and detach out of forward"}),
}  # fmt: skip

BROKEN = [
    pytest.param(source, case[:-1], case[-1], id=f"{kind}: {name}")
    for kind, source, cases in [
        ("generator", GENERATOR, GENERATORS),
        ("discriminator", DISCRIMINATOR, DISCRIMINATORS),
        ("encoder", ENCODER, ENCODERS),
    ]
    for name, case in cases.items()
]


@pytest.mark.parametrize(("source", "changes", "told"), BROKEN)
def test_each_fault_is_one_line_of_its_own(write: Write, source: str, changes: list[str], told: dict[str, str]) -> None:
    assert_told(faults(part(write(altered(source, changes)))), told)


GOOD = {
    "noise": (GENERATOR, SHOWN, "return (self.net(content) + torch.randn_like(content)).sigmoid()"),
    "lazy": (GENERATOR, NET, "self.net = nn.LazyConv2d(3, 1)"),
    "a gate that starts closed": (GENERATOR, NET, NET + "; self.gate = nn.Parameter(torch.zeros(1))",
                                  SHOWN, "return (self.gate * self.net(content)).sigmoid()"),
    "partial": (GENERATOR, "import random", "import functools",
                "mine\": Network", "mine\": functools.partial(Network, width=3)"),
    "spectral_norm": (DISCRIMINATOR, "nn.Conv2d(3, 2, 4, 4)", "nn.utils.spectral_norm(nn.Conv2d(3, 2, 4, 4))"),
    "weight_norm": (GENERATOR, "nn.Conv2d(3, 3, 1)", "nn.utils.weight_norm(nn.Conv2d(3, 3, 1))"),
    "frozen statistics": (ENCODER, "nn.Conv2d(3, 4, 3)", "nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))",
                          "    def forward",
                          "    def train(self, mode=True):\n        return super().train(False)\n\n    def forward"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("case", GOOD.values(), ids=GOOD)
def test_what_is_unusual_and_good_is_no_fault(write: Write, case: tuple[str, ...]) -> None:
    source, *changes = case
    assert faults(part(write(altered(source, changes)))) == {}


def test_grey_pictures_are_tried_where_they_are_declared(write: Write) -> None:
    source = GENERATOR.replace(NET, "self.channels = (1, 3)").replace(SHOWN, "return 1 - content")
    subject = part(write(source))
    assert faults(subject) == {}
    assert "channels 1, 3" in seen(subject)
