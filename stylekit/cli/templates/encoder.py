"""An encoder for stylekit: edges by direction and scale. Nothing is learnt, and nothing is downloaded."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import hookimpl
from stylekit.layers import require_options

STYLEKIT_API = 1


class MyStyle(nn.Module):
    """Gabor filters on the brightness: the layers ``edges1``, ``edges2`` and so on, each half as large as the one before.

    Args:
        scales: how many layers there are
        directions: channels of a layer, one for each direction of an edge
    """

    filters: Tensor

    def __init__(self, scales: int = 3, directions: int = 8) -> None:
        super().__init__()
        require_options(scales=scales, directions=directions)
        self.scales = scales
        angles = torch.arange(directions)[:, None, None] * math.pi / directions
        place = torch.arange(-3.0, 4.0)
        across = place[:, None] * torch.sin(angles) + place * torch.cos(angles)
        bell = torch.exp(-(place[:, None].square() + place.square()) / 8)
        filters = torch.sin(across * math.pi / 3) * bell
        self.register_buffer("filters", (filters / filters.abs().sum((1, 2), keepdim=True)).unsqueeze(1))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Finds the edges in ``(N, 3, H, W)`` in [0, 1]: layers ``(N, directions, H', W')``, from 0 on."""
        brightness = image.mean(1, keepdim=True)
        layers = {}
        for scale in range(1, self.scales + 1):
            layers[f"edges{scale}"] = F.conv2d(F.pad(brightness, (3, 3, 3, 3), mode="replicate"), self.filters).abs()
            brightness = F.avg_pool2d(brightness, 2, ceil_mode=True)
        return layers


@hookimpl
def stylekit_encoders() -> dict[str, type[MyStyle]]:
    return {"my-style": MyStyle}
