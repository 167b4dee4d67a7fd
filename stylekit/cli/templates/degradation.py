"""A degradation for stylekit: the corners of a picture are dark, as through a cheap lens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stylekit import hookimpl
from stylekit.images import Range, drawn, require_range

STYLEKIT_API = 1


class MyStyle(nn.Module):
    """Darkens the corners.

    Args:
        strength: share of the light that the corners lose, or a range of it
    """

    def __init__(self, strength: Range = (0.2, 0.8)) -> None:
        super().__init__()
        require_range("degradation 'my-style'", 0, 1, strength=strength)
        self.strength = strength

    def forward(self, image: Tensor) -> Tensor:
        """Darkens images ``(N, 3, H, W)`` in [0, 1]."""
        down, across = (torch.linspace(-1, 1, side, device=image.device, dtype=image.dtype) for side in image.shape[2:])
        away = (down[:, None].square() + across.square()) / 2  # 0 in the middle, 1 in the corners
        return image * (1 - drawn(self.strength, image) * away)


@hookimpl
def stylekit_degradations() -> dict[str, type[MyStyle]]:
    return {"my-style": MyStyle}
