"""pix2pix: translation learned from pairs (Isola et al. 2017). Shows paired data, and a discriminator with a condition."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from stylekit import Method, Part, Player, hookimpl, make, turn
from stylekit.method import Batch, Terms, linear_decay


class Pix2Pix(Method):
    """A generator translates the content; a discriminator scores pairs of the content and a real or generated image.

    Args:
        generator: network that translates images
        discriminator: network that scores pairs, given as six channels
        adversarial: adversarial loss
        l1: weight of the mean absolute difference from the target, for images in [-1, 1]
        lr: learning rate
    """

    reads = "pairs"
    inference_modules = ("generator",)
    presets: ClassVar = {
        "tiny": {
            "generator": {"name": "unet", "downs": 5, "width": 16, "upsample": "resize"},
            "discriminator": {"name": "patch", "layers": 2, "width": 16},
            "lr": 1e-3,
        }
    }

    def __init__(
        self,
        generator: Part = "unet",
        discriminator: Part = "patch",
        adversarial: Part = "nonsaturating",
        l1: float = 100.0,
        lr: float = 2e-4,
    ) -> None:
        super().__init__()
        self.generator = make("generator", generator)
        self.discriminator = make("discriminator", discriminator, channels=6)
        self.adversarial = make("adversarial", adversarial)
        self.l1, self.lr = l1, lr

    def players(self) -> dict[str, Player]:
        return {
            "discriminator": Player(self.discriminator, lr=self.lr, schedule=linear_decay),
            "generator": Player(self.generator, lr=self.lr, schedule=linear_decay),
        }

    def forward(self, batch: Batch) -> Tensor:
        return self.generator(batch["content"])

    @turn("discriminator")
    def discriminate(self, batch: Batch, fake: Tensor) -> Terms:
        content = batch["content"]
        scores = self.discriminator(batch["style"], content), self.discriminator(fake.detach(), content)
        return {"adversarial": 0.5 * self.adversarial.discriminator(*scores)}  # slower than the generator

    @turn("generator")
    def translate(self, batch: Batch, fake: Tensor) -> Terms:
        content, target = batch["content"], batch["style"]
        real = self.discriminator(target, content) if self.adversarial.relativistic else None
        return {
            "adversarial": self.adversarial.generator(self.discriminator(fake, content), real),
            "l1": self.l1 * 2 * F.l1_loss(fake, target),
        }

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        return self.generator(content)

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        return {"content": batch["content"], "output": self.stylize(batch["content"]), "target": batch["style"]}


@hookimpl
def stylekit_methods() -> dict[str, type[Method]]:
    return {"pix2pix": Pix2Pix}
