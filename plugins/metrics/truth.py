"""Metrics against the true output: the same image as it should be. They need torchmetrics, except ``psnr``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from stylekit import StylekitError, hookimpl
from stylekit.hookspecs import Metric
from stylekit.losses import StructuralSimilarity

LUMA = (65.481 / 255, 128.553 / 255, 24.966 / 255)
"""Weights of red, green and blue in Y of ITU-R BT.601, which ranges from 16 / 255 to 235 / 255."""


def luma(image: Tensor) -> Tensor:
    """Y of ITU-R BT.601 ``(N, 1, H, W)`` of images ``(N, 3, H, W)`` in [0, 1], as papers on super-resolution use it."""
    return torch.einsum("nchw,c->nhw", image, image.new_tensor(LUMA))[:, None] + 16 / 255


class Compared(nn.Module):
    """What these metrics have in common: the channels and pixels that they compare.

    Args:
        channels: rgb, or y for the lightness only
        border: pixels at each border that are left out
    """

    against = "truth"
    higher = True

    def __init__(self, channels: Literal["rgb", "y"] = "rgb", border: int = 0) -> None:
        super().__init__()
        if border < 0:
            raise StylekitError(f"The option 'border' is {border}, but must be at least 0.")
        self.channels, self.border = channels, border

    def inner(self, image: Tensor) -> Tensor:
        """What is compared of images ``(N, 3, H, W)``.

        Raises:
            StylekitError: the border leaves nothing.
        """
        height, width = image.shape[2:]
        if min(height, width) <= 2 * self.border:
            raise StylekitError(f"A border of {self.border} pixels leaves nothing of an image of {width} x {height}.")
        kept = image[..., self.border : height - self.border, self.border : width - self.border]
        return luma(kept) if self.channels == "y" else kept


class PSNR(Compared):
    """The peak signal-to-noise ratio in dB, of each image; equal images have 100 dB.

    Args:
        channels: rgb, the mean over all three; or y, that of ITU-R BT.601
        border: pixels at each border that are left out

    Raises:
        StylekitError: ``border`` is negative.
    """

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, 3, H, W)`` in [0, 1]: ``(N,)``."""
        error = (self.inner(output) - self.inner(reference)).square().mean((1, 2, 3))
        return -10 * error.clamp(min=1e-10).log10()


class SSIM(Compared):
    """The structural similarity (Wang et al. 2004), with a Gaussian window of 11 pixels, of each image.

    Args:
        channels: rgb, the mean over all three; or y, that of ITU-R BT.601
        border: pixels at each border that are left out

    Raises:
        StylekitError: ``border`` is negative, or torchmetrics is not installed.
    """

    def __init__(self, channels: Literal["rgb", "y"] = "rgb", border: int = 0) -> None:
        super().__init__(channels, border)
        self.similarity = StructuralSimilarity("The metric 'ssim'")

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, 3, H, W)`` in [0, 1], with sides of at least 11 pixels: ``(N,)``, at most 1."""
        return self.similarity(self.inner(output), self.inner(reference))


class MultiscaleSSIM(Compared):
    """The structural similarity at five scales (Wang et al. 2003), of each image.

    Args:
        channels: rgb, the mean over all three; or y, that of ITU-R BT.601
        border: pixels at each border that are left out
        scales: number of scales; with the paper's 5, sides of more than 160 pixels are needed, with 3 of more than 40

    Raises:
        StylekitError: an option is out of range, or torchmetrics is not installed.
    """

    def __init__(self, channels: Literal["rgb", "y"] = "rgb", border: int = 0, scales: int = 3) -> None:
        super().__init__(channels, border)
        self.similarity = StructuralSimilarity("The metric 'ms-ssim'", scales)

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, 3, H, W)`` in [0, 1]: ``(N,)``, at most 1."""
        return self.similarity(self.inner(output), self.inner(reference))


@hookimpl
def stylekit_metrics() -> dict[str, Callable[..., Metric]]:
    return {"psnr": PSNR, "ssim": SSIM, "ms-ssim": MultiscaleSSIM}
