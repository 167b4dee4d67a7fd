"""A generator for stylekit: it only changes colours, depending on the position, so that every edge stays."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import hookimpl
from stylekit.layers import require_options

STYLEKIT_API = 1


class MyStyle(nn.Module):
    """Divides the image into cells, predicts a colour transform for each, and interpolates between the cells.

    Args:
        cells: cells per side
        width: channels of the network
    """

    sample_independent = True

    def __init__(self, cells: int = 16, width: int = 32) -> None:
        super().__init__()
        require_options(cells=cells, width=width)
        self.cells = cells
        self.network = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, width, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 12, 3, padding=1),
        )

    def forward(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        """Changes the colours of images ``(N, 3, H, W)`` in [0, 1], of any size. Shape and range stay the same."""
        change = self.network(F.adaptive_avg_pool2d(content, self.cells) * 2 - 1)
        change = F.interpolate(change, content.shape[-2:], mode="bilinear")
        matrices, shift = change[:, :9].unflatten(1, (3, 3)), change[:, 9:]
        colours = content * 4 - 2
        return torch.sigmoid(colours + (matrices * colours.unsqueeze(1)).sum(2) + shift)


@hookimpl
def stylekit_generators() -> dict[str, type[MyStyle]]:
    return {"my-style": MyStyle}
