"""An encoder for stylekit: edges by direction and scale. It needs no training and no download."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import hookimpl
from stylekit.layers import require_options

STYLEKIT_API = 1


class MyStyle(nn.Module):
    """Gabor filters on the brightness: layers ``edges1``, ``edges2`` and so on, each half the size of the previous one.

    Args:
        scales: number of layers
        directions: channels of each layer, one per direction of the edges
    """

    filters: Tensor

    def __init__(self, scales: int = 3, directions: int = 8) -> None:
        super().__init__()
        require_options(scales=scales, directions=directions)
        self.scales = scales
        angles = torch.arange(directions)[:, None, None] * math.pi / directions
        position = torch.arange(-3.0, 4.0)
        across = position[:, None] * torch.sin(angles) + position * torch.cos(angles)
        window = torch.exp(-(position[:, None].square() + position.square()) / 8)
        filters = torch.sin(across * math.pi / 3) * window
        self.register_buffer("filters", (filters / filters.abs().sum((1, 2), keepdim=True)).unsqueeze(1))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Detects the edges in images ``(N, 3, H, W)`` in [0, 1]: layers ``(N, directions, H', W')`` of values >= 0."""
        brightness = image.mean(1, keepdim=True)
        layers = {}
        for scale in range(1, self.scales + 1):
            layers[f"edges{scale}"] = F.conv2d(F.pad(brightness, (3, 3, 3, 3), mode="replicate"), self.filters).abs()
            brightness = F.avg_pool2d(brightness, 2, ceil_mode=True)
        return layers


@hookimpl
def stylekit_encoders() -> dict[str, type[MyStyle]]:
    return {"my-style": MyStyle}
