"""Structural similarity, by torchmetrics (``pip install 'stylekit-torch[metrics]'``)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from stylekit import StylekitError, hookimpl
from stylekit.hookspecs import ImageLoss
from stylekit.registry.extras import import_extra

IMAGES = "torchmetrics.functional.image"


class SSIM(nn.Module):
    """One minus the structural similarity (Wang et al. 2004), with a Gaussian window of 11 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.index = import_extra(IMAGES, "metrics", "The loss 'ssim'").structural_similarity_index_measure

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, C, H, W)`` in [0, 1], with sides of at least 11 pixels: a scalar from 0 to 2."""
        similarity: Tensor = 1 - self.index(output, reference, data_range=1.0)
        return similarity


class MultiscaleSSIM(nn.Module):
    """One minus the structural similarity at several scales (Wang et al. 2003).

    Args:
        scales: number of scales, each with half the sides of the previous one; with the paper's 5, sides of more than 160
            pixels are needed, with 3 of more than 40
    """

    WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)

    def __init__(self, scales: int = 3) -> None:
        super().__init__()
        if not 1 <= scales <= len(self.WEIGHTS):
            raise StylekitError(f"The option 'scales' is {scales}, but must be from 1 to {len(self.WEIGHTS)}.")
        self.index = import_extra(
            IMAGES, "metrics", "The loss 'ms-ssim'"
        ).multiscale_structural_similarity_index_measure
        self.weights = tuple(weight / sum(self.WEIGHTS[:scales]) for weight in self.WEIGHTS[:scales])

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, C, H, W)`` in [0, 1]: a scalar from 0 to 1."""
        similarity: Tensor = 1 - self.index(output, reference, data_range=1.0, betas=self.weights, normalize="relu")
        return similarity


@hookimpl
def stylekit_losses() -> dict[str, Callable[..., ImageLoss]]:
    return {"ssim": SSIM, "ms-ssim": MultiscaleSSIM}
