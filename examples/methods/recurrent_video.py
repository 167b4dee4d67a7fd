"""Video without flicker: each frame is generated from the previous output. Shows state within a clip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from stylekit import Method, Part, Player, hookimpl, make, turn
from stylekit.losses import ContentLoss, StyleLoss
from stylekit.method import Batch, Statistics, Terms, linear_decay


class RecurrentVideo(Method):
    """Learns from still images with random shifts and noise, which simulate a moving and noisy camera.

    Args:
        generator: network that generates a frame from the content and the previous output
        encoder: network whose features are compared
        content: weight of the content loss
        style: weight of the style loss
        steady: weight of the difference between a frame and the previous frame, shifted in the same way
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
        content: float = 1.0,
        style: float = 5.0,
        steady: float = 20.0,
        lr: float = 1e-3,
    ) -> None:
        super().__init__()
        self.generator = make("generator", generator, channels=6)
        self.encoder = make("encoder", encoder)
        self.content, self.style, self.steady, self.lr = content, style, steady, lr
        self.content_loss, self.style_loss = ContentLoss(normalize=True), StyleLoss()

    def players(self) -> dict[str, Player]:
        return {"generator": Player(self.generator, lr=self.lr, schedule=linear_decay)}

    def frame(self, content: Tensor, before: Tensor) -> Tensor:
        return self.generator(torch.cat([content, before], 1))[:, :3]

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        content = batch["content"]
        first = self.frame(content, content)
        shift = tuple(int(each) for each in torch.randint(-8, 9, (2,)))
        moved = content.roll(shift, (2, 3)) + 0.01 * torch.randn_like(content)
        before = first.roll(shift, (2, 3)).detach()
        return {"first": first, "before": before, "second": self.frame(moved.clamp(0, 1), before)}

    @turn("generator")
    def animate(self, batch: Batch, made: dict[str, Tensor]) -> Terms:
        features = self.encoder(made["first"])
        with torch.no_grad():
            content = self.content_loss.target(self.encoder(batch["content"]))
            style = self.style_loss.target(self.encoder(batch["style"]))
        return {
            "content": self.content * self.content_loss(features, content).mean(),
            "style": self.style * self.style_loss(features, style).mean(),
            "steady": self.steady * F.mse_loss(made["second"], made["before"]),
        }

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        """Stylises a frame without a previous frame."""
        return self.frame(content, content)

    def frames(self, contents: Iterable[Tensor], style: Statistics | None = None, **options: Any) -> Iterator[Tensor]:
        before: Tensor | None = None
        for content in contents:
            before = self.frame(content, content if before is None else before)
            yield before


@hookimpl
def stylekit_methods() -> dict[str, type[Method]]:
    return {"recurrent-video": RecurrentVideo}
