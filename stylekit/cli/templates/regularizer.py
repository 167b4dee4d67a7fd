"""A regularizer for stylekit: scores should stay near zero, so that they cannot grow without limit (Karras et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from stylekit import hookimpl
from stylekit.layers import require_options
from stylekit.losses import image_scores

STYLEKIT_API = 1


class MyStyle(nn.Module):
    """The mean square of the scores of real images.

    Args:
        weight: weight
        interval: the penalty is added at every n-th update of the discriminator, n times as large
    """

    def __init__(self, weight: float = 0.001, interval: int = 1) -> None:
        super().__init__()
        require_options(interval=interval)
        self.weight, self.interval = weight, interval

    def forward(self, discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
        """The penalty, a scalar, at images ``(N, C, H, W)``."""
        return self.weight * image_scores(discriminator(real)).square().mean()


@hookimpl
def stylekit_regularizers() -> dict[str, type[MyStyle]]:
    return {"my-style": MyStyle}
