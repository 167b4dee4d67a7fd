"""Total variation of the output: less noise, whatever the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from stylekit import hookimpl
from stylekit.hookspecs import ImageLoss
from stylekit.losses import total_variation


class TotalVariation(nn.Module):
    """The mean difference of neighbouring pixels of the output: see :func:`stylekit.losses.total_variation`.

    Args:
        power: 2 for squared differences, which blurs edges, or 1 for absolute ones, which preserves them
    """

    def __init__(self, power: Literal[1, 2] = 2) -> None:
        super().__init__()
        self.power = power

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """The variation of images ``(N, C, H, W)``, a scalar; the reference is not used."""
        return total_variation(output, self.power).mean()


@hookimpl
def stylekit_losses() -> dict[str, Callable[..., ImageLoss]]:
    return {"total-variation": TotalVariation}
