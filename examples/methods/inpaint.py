"""Inpainting: a network fills a hole in an image. Shows a second input image as an option of stylising."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from stylekit import Method, Part, Player, hookimpl, make, turn
from stylekit.losses import total_variation
from stylekit.method import Batch, Terms, linear_decay


class Inpaint(Method):
    """Learns from any images, from which boxes are removed. Pixels outside the hole are not changed.

    Args:
        generator: network that fills the hole; its input is the image without the hole, and the hole's mask as fourth channel
        smooth: weight of the total variation
        lr: learning rate
    """

    batch_keys = ("content",)
    presets: ClassVar = {"tiny": {"generator": {"name": "unet", "downs": 5, "width": 8, "upsample": "resize"}}}

    def __init__(self, generator: Part = "unet", smooth: float = 0.1, lr: float = 1e-3) -> None:
        super().__init__()
        self.generator = make("generator", generator, channels=4)
        self.smooth, self.lr = smooth, lr

    def players(self) -> dict[str, Player]:
        return {"generator": Player(self.generator, lr=self.lr, schedule=linear_decay)}

    def fill(self, content: Tensor, hole: Tensor) -> Tensor:
        """Fills ``content`` ``(N, 3, H, W)`` where ``hole`` ``(N, 1, H, W)`` is 1."""
        known = content * (1 - hole)
        filled = self.generator(torch.cat([known, hole.expand(len(content), -1, -1, -1)], 1))[:, :3]
        return known + filled * hole

    def forward(self, batch: Batch) -> Tensor:
        content = batch["content"]
        height, width = content.shape[2:]
        hole = torch.zeros_like(content[:, :1])
        for each in hole:
            top, left = (int(torch.randint(side // 2, ())) for side in (height, width))
            each[:, top : top + height // 2, left : left + width // 2] = 1
        return self.fill(content, hole)

    @turn("generator")
    def restore(self, batch: Batch, made: Tensor) -> Terms:
        return {"l1": F.l1_loss(made, batch["content"]), "smooth": self.smooth * total_variation(made).mean()}

    def stylize(self, content: Tensor, style: Tensor | None = None, *, hole: Tensor | None = None) -> Tensor:
        """Fills a hole.

        Args:
            content: images
            style: not used
            hole: mask of the content's size, white inside the hole; by default the middle quarter
        """
        if hole is None:
            height, width = content.shape[2:]
            hole = torch.zeros_like(content[:1])
            hole[..., height // 4 : height - height // 4, width // 4 : width - width // 4] = 1
        return self.fill(content, (hole.mean(1, keepdim=True) > 0.5).to(content))


@hookimpl
def stylekit_methods() -> dict[str, type[Method]]:
    return {"inpaint": Inpaint}
