"""A loss for stylekit: how far apart two pictures' palettes are, wherever in the pictures the colours lie."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import hookimpl
from stylekit.layers import require_options

STYLEKIT_API = 1


class MyStyle(nn.Module):
    """The sliced Wasserstein distance of colours: along each of some axes, sorted pixels are compared in their order.

    Source: Rabin et al. 2011.

    Args:
        axes: how many axes the colours are projected on
    """

    def __init__(self, axes: int = 16) -> None:
        super().__init__()
        require_options(axes=axes)
        drawn = torch.randn(axes, 3, generator=torch.Generator().manual_seed(0))
        self.register_buffer("axes", F.normalize(drawn, dim=1))

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares pictures ``(N, 3, H, W)`` of one size: a scalar, zero for equal palettes."""
        return (self.sorted(output) - self.sorted(reference)).abs().mean()

    def sorted(self, picture: Tensor) -> Tensor:
        """The pixels' places along each axis, in order: ``(N, axes, H W)``."""
        return torch.einsum("ac,nchw->nahw", self.axes, picture).flatten(2).sort().values


@hookimpl
def stylekit_losses() -> dict[str, type[MyStyle]]:
    return {"my-style": MyStyle}
