"""A discriminator for stylekit: one small network for fine strokes, and others for coarser structures."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import hookimpl
from stylekit.layers import require_options

STYLEKIT_API = 1


class MyStyle(nn.Module):
    """Small networks score overlapping patches, each of them at half the resolution of the previous one.

    Args:
        scales: number of networks
        width: channels of each network's first layer
    """

    sample_independent = True

    def __init__(self, scales: int = 2, width: int = 32) -> None:
        super().__init__()
        require_options(scales=scales, width=width)
        self.min_size = 8 * 2 ** (scales - 1)
        self.judges = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(3, width, 4, stride=2, padding=1),
                nn.LeakyReLU(0.2),
                nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
                nn.LeakyReLU(0.2),
                nn.Conv2d(2 * width, 1, 3, padding=1),
            )
            for _ in range(scales)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Scores images ``(N, 3, H, W)`` in [0, 1]: one map of raw scores ``(N, 1, H', W')`` per network."""
        return [judge(F.avg_pool2d(image, 2**scale) * 2 - 1) for scale, judge in enumerate(self.judges)]


@hookimpl
def stylekit_discriminators() -> dict[str, type[MyStyle]]:
    return {"my-style": MyStyle}
