"""A loss for stylekit: the distance between the palettes of two images, regardless of where the colours are."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import hookimpl
from stylekit.layers import require_options

STYLEKIT_API = 1


class MyStyle(nn.Module):
    """The sliced Wasserstein distance of colours: pixels are projected onto random axes, sorted, and compared in order.

    Source: Rabin et al. 2011.

    Args:
        axes: number of axes that the colours are projected onto
    """

    def __init__(self, axes: int = 16) -> None:
        super().__init__()
        require_options(axes=axes)
        directions = torch.randn(axes, 3, generator=torch.Generator().manual_seed(0))
        self.register_buffer("axes", F.normalize(directions, dim=1))

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, 3, H, W)`` of the same size: a scalar, zero for equal palettes."""
        return (self.sorted(output) - self.sorted(reference)).abs().mean()

    def sorted(self, image: Tensor) -> Tensor:
        """The pixels' positions along each axis, in order: ``(N, axes, H * W)``."""
        return torch.einsum("ac,nchw->nahw", self.axes, image).flatten(2).sort().values


@hookimpl
def stylekit_losses() -> dict[str, type[MyStyle]]:
    return {"my-style": MyStyle}
