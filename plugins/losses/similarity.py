"""Structural similarity, by torchmetrics (``pip install 'stylekit-torch[metrics]'``)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from stylekit import hookimpl
from stylekit.hookspecs import ImageLoss
from stylekit.losses import StructuralSimilarity


class SSIM(nn.Module):
    """One minus the structural similarity (Wang et al. 2004), with a Gaussian window of 11 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.similarity = StructuralSimilarity("The loss 'ssim'")

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, C, H, W)`` in [0, 1], with sides of at least 11 pixels: a scalar from 0 to 2."""
        return 1 - self.similarity(output, reference).mean()


class MultiscaleSSIM(nn.Module):
    """One minus the structural similarity at several scales (Wang et al. 2003).

    Args:
        scales: number of scales, each with half the sides of the previous one; with the paper's 5, sides of more than 160
            pixels are needed, with 3 of more than 40
    """

    def __init__(self, scales: int = 3) -> None:
        super().__init__()
        self.similarity = StructuralSimilarity("The loss 'ms-ssim'", scales)
        self.weights = self.similarity.weights

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, C, H, W)`` in [0, 1]: a scalar from 0 to 1."""
        return 1 - self.similarity(output, reference).mean()


@hookimpl
def stylekit_losses() -> dict[str, Callable[..., ImageLoss]]:
    return {"ssim": SSIM, "ms-ssim": MultiscaleSSIM}
