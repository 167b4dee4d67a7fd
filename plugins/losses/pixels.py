"""Differences of pixels: absolute, squared, and two that are squared near zero and absolute far from it."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import StylekitError, hookimpl
from stylekit.hookspecs import ImageLoss


class L1(nn.Module):
    """The mean absolute difference."""

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, C, H, W)``: a scalar."""
        return F.l1_loss(output, reference)


class L2(nn.Module):
    """The mean squared difference."""

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, C, H, W)``: a scalar."""
        return F.mse_loss(output, reference)


class Huber(nn.Module):
    """Half the squared difference up to a limit, and a straight line beyond it (Huber 1964), as a mean.

    Args:
        delta: the limit, for images in [0, 1]

    Raises:
        StylekitError: ``delta`` is not above 0.
    """

    def __init__(self, delta: float = 0.1) -> None:
        super().__init__()
        if not delta > 0:
            raise StylekitError(f"The option 'delta' is {delta}, but must be above 0.")
        self.delta = delta

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, C, H, W)``: a scalar."""
        return F.huber_loss(output, reference, delta=self.delta)


class Charbonnier(nn.Module):
    """The mean of ``sqrt(difference^2 + epsilon^2)`` (Charbonnier et al. 1994; Lai et al. 2017).

    Args:
        epsilon: where the loss turns from squared to absolute, for images in [0, 1]

    Raises:
        StylekitError: ``epsilon`` is not above 0.
    """

    def __init__(self, epsilon: float = 1e-3) -> None:
        super().__init__()
        if not epsilon > 0:
            raise StylekitError(f"The option 'epsilon' is {epsilon}, but must be above 0.")
        self.epsilon = epsilon

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, C, H, W)``: a scalar."""
        return ((output - reference).square() + self.epsilon**2).sqrt().mean()


@hookimpl
def stylekit_losses() -> dict[str, Callable[..., ImageLoss]]:
    return {"l1": L1, "l2": L2, "huber": Huber, "charbonnier": Charbonnier}
