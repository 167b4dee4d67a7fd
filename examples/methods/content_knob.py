"""A control between content and style, set for each image. Shows an option of stylising, trained over its whole range."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from stylekit import Method, Part, Player, StylekitError, hookimpl, make, turn
from stylekit.layers import modulated
from stylekit.losses import ContentLoss, StyleLoss
from stylekit.method import Batch, Terms, linear_decay


class ContentKnob(Method):
    """A network learns the style of a data set; further input channels, the image times ``keep``, control how much
    of the content to keep.

    Args:
        generator: network that generates the image
        encoder: network whose features are compared
        style: weight of the style loss at ``keep=0``
        content: weight of the content loss at ``keep=1``
        lr: learning rate
    """

    inference_modules = ("generator",)
    presets: ClassVar = {
        "tiny": {
            "generator": {"name": "unet", "downs": 5, "width": 8, "upsample": "resize"},
            "encoder": {"name": "random", "width": 16, "scales": 3},
        }
    }

    def __init__(
        self,
        generator: Part = "unet",
        encoder: Part = "random",
        style: float = 5.0,
        content: float = 5.0,
        lr: float = 1e-3,
    ) -> None:
        super().__init__()
        self.generator = make("generator", generator, channels=6)
        self.encoder = make("encoder", encoder)
        self.style, self.content, self.lr = style, content, lr
        self.content_loss, self.style_loss = ContentLoss(normalize=True), StyleLoss()

    def players(self) -> dict[str, Player]:
        return {"generator": Player(self.generator, lr=self.lr, schedule=linear_decay)}

    def make_image(self, content: Tensor, keep: Tensor) -> Tensor:
        return self.generator(modulated(content, keep[:, None]))[:, :3]

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        keep = torch.rand(len(batch["content"]), device=batch["content"].device)
        return {"keep": keep, "image": self.make_image(batch["content"], keep)}

    @turn("generator")
    def balance(self, batch: Batch, made: dict[str, Tensor]) -> Terms:
        keep, image = made["keep"], made["image"]
        features = self.encoder(image)
        with torch.no_grad():
            content = self.content_loss.target(self.encoder(batch["content"]))
            style = self.style_loss.target(self.encoder(batch["style"]))
        pixels = F.l1_loss(image, batch["content"], reduction="none").mean((1, 2, 3))
        kept = self.content_loss(features, content) + pixels
        return {
            "content": self.content * (keep * kept).mean(),
            "style": self.style * ((1 - keep) * self.style_loss(features, style)).mean(),
        }

    def stylize(self, content: Tensor, style: Tensor | None = None, *, keep: float = 0.5) -> Tensor:
        """Stylises images in the learned style.

        Args:
            content: images
            style: not used
            keep: how much of the content to keep, from 0 to 1
        """
        if not 0 <= keep <= 1:
            raise StylekitError(f"The option 'keep' is {keep}, but must be from 0 to 1.")
        return self.make_image(content, torch.full((len(content),), keep, device=content.device))


@hookimpl
def stylekit_methods() -> dict[str, type[Method]]:
    return {"content-knob": ContentKnob}
