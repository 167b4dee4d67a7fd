"""A style for stylekit: a small network repaints images until a discriminator cannot tell their strokes from the style's."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import Method, Part, Player, hookimpl, make, turn
from stylekit.method import Batch, Terms

STYLEKIT_API = 1


class MyStyle(Method):
    """A generator changes strokes and colours; a discriminator tells its images from the style's.

    Args:
        width: channels of the generator
        discriminator: network that scores images
        adversarial: adversarial loss
        content: weight of the content loss, the difference between the downsampled output and content
        lr: learning rate
    """

    inference_modules = ("generator",)
    presets: ClassVar = {"tiny": {"discriminator": {"name": "patch-sn", "layers": 2, "width": 32}}}

    def __init__(
        self,
        width: int = 24,
        discriminator: Part = "patch-sn",
        adversarial: Part = "hinge",
        content: float = 5.0,
        lr: float = 1e-3,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, dilation in ((3, 1), (width, 2), (width, 4), (width, 1)):
            conv = nn.Conv2d(before, width, 3, padding=dilation, dilation=dilation, padding_mode="replicate")
            layers += [conv, nn.LeakyReLU(0.2)]
        self.generator = nn.Sequential(*layers, nn.Conv2d(width, 3, 1))
        self.discriminator = make("discriminator", discriminator)
        self.adversarial = make("adversarial", adversarial)
        self.content, self.lr = content, lr

    def players(self) -> dict[str, Player]:
        return {
            "discriminator": Player(self.discriminator, lr=self.lr),
            "generator": Player(self.generator, lr=self.lr, ema=0.99),
        }

    def forward(self, batch: Batch) -> Tensor:
        return self.stylize(batch["content"])

    @turn("discriminator")
    def discriminate(self, batch: Batch, fake: Tensor) -> Terms:
        scores = self.discriminator(batch["style"]), self.discriminator(fake.detach())
        return {"adversarial": self.adversarial.discriminator(*scores)}

    @turn("generator")
    def generate(self, batch: Batch, fake: Tensor) -> Terms:
        difference = F.l1_loss(F.avg_pool2d(fake, 4), F.avg_pool2d(batch["content"], 4))
        return {
            "adversarial": self.adversarial.generator(self.discriminator(fake), self.discriminator(batch["style"])),
            "content": self.content * difference,
        }

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        return torch.sigmoid(self.generator(content * 2 - 1) + 4 * content - 2)


@hookimpl
def stylekit_methods() -> dict[str, type[MyStyle]]:
    return {"my-style": MyStyle}
