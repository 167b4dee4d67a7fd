"""A style for stylekit: a small network repaints pictures until a judge takes their strokes for the style's."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import Method, Part, Player, hookimpl, make, turn
from stylekit.method import Batch, Terms

STYLEKIT_API = 1


class MyStyle(Method):
    """A game of two: the painter changes strokes and colours, the judge tells them from the style's.

    Args:
        width: channels of the painter's network
        judge: the discriminator
        adversarial: what the judge's scores are worth
        keep: weight of the shapes that stay: of the coarse picture's difference from the content
        lr: learning rate
    """

    inference_modules = ("painter",)
    presets: ClassVar = {"tiny": {"judge": {"name": "patch-sn", "layers": 2, "width": 32}}}

    def __init__(
        self,
        width: int = 24,
        judge: Part = "patch-sn",
        adversarial: Part = "hinge",
        keep: float = 5.0,
        lr: float = 1e-3,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, dilation in ((3, 1), (width, 2), (width, 4), (width, 1)):
            conv = nn.Conv2d(before, width, 3, padding=dilation, dilation=dilation, padding_mode="replicate")
            layers += [conv, nn.LeakyReLU(0.2)]
        self.painter = nn.Sequential(*layers, nn.Conv2d(width, 3, 1))
        self.judge, self.adversarial = make("discriminator", judge), make("loss", adversarial)
        self.keep, self.lr = keep, lr

    def players(self) -> dict[str, Player]:
        return {"judge": Player(self.judge, lr=self.lr), "painter": Player(self.painter, lr=self.lr, ema=0.99)}

    def forward(self, batch: Batch) -> Tensor:
        return self.stylize(batch["content"])

    @turn("judge")
    def tell(self, batch: Batch, made: Tensor) -> Terms:
        real, fake = self.judge(batch["style"]), self.judge(made.detach())
        return {"real": self.adversarial.real(real), "fake": self.adversarial.fake(fake)}

    @turn("painter")
    def paint(self, batch: Batch, made: Tensor) -> Terms:
        far = F.l1_loss(F.avg_pool2d(made, 4), F.avg_pool2d(batch["content"], 4))
        return {"fool": self.adversarial.fool(self.judge(made)), "keep": self.keep * far}

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        return torch.sigmoid(self.painter(content * 2 - 1) + 4 * content - 2)


@hookimpl
def stylekit_methods() -> dict[str, type[MyStyle]]:
    return {"my-style": MyStyle}
