"""Consistency over time: an output should follow its content when that moves, and stay when it is noisy.

Methods that train with it on single images stylise clips steadily. In ``--set extra=...``, it costs a further pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import StylekitError, hookimpl
from stylekit.hookspecs import ImageLoss
from stylekit.images.flow import warp

CELL = 100
"""The distance in pixels of independent displacements, and the side of the window over which they are averaged."""


class WarpConsistency(nn.Module):
    """The mean absolute difference of outputs: that of a warped and noisy content, and the warped output of the content.

    The compound regularisation of Wang et al. 2020, "Consistent video style transfer via relaxation and regularization"
    (ReReVST), section III-C: the flow is random and smooth. The authors' weight is 60, beside content 1 and style 20, for
    images of deviation 1; for images in [0, 1] that is 265, and their noise 0.00023. Without ``change``, it
    compares two images.

    Args:
        motion: standard deviation of the displacements in pixels, before they are averaged
        shift: largest displacement of all pixels together, along each axis
        noise: smallest standard deviation of the noise, for images in [0, 1]; each image has up to twice as much

    Raises:
        StylekitError: an option is negative.
    """

    def __init__(self, motion: float = 8.0, shift: float = 10.0, noise: float = 0.001) -> None:
        super().__init__()
        require_not_negative(motion=motion, shift=shift, noise=noise)
        self.motion, self.shift, self.noise = motion, shift, noise

    def change(self, output: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """Warps images ``(N, C, H, W)`` alike, and adds noise to the reference."""
        flow = self.flow(reference)
        # Interpolation would blur both, and a method that blurs would be consistent.
        moved, content = (warp(image, flow, "nearest") for image in (output, reference))
        return moved, noisy(content, self.noise, 2 * self.noise)

    def flow(self, image: Tensor) -> Tensor:
        """A random flow ``(N, 2, H, W)`` for each image, in pixels, as in the authors' program."""
        count, _, height, width = image.shape
        grid = image.new_empty(count, 2, max(1, height // CELL), max(1, width // CELL)).normal_(0, self.motion)
        shift = image.new_empty(count, 2, 1, 1).uniform_(-self.shift, self.shift)
        return blurred(F.interpolate(grid, (height, width), mode="bilinear", align_corners=False)) + shift

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, C, H, W)``: a scalar."""
        return F.l1_loss(output, reference)


class NoiseConsistency(nn.Module):
    """The mean squared difference of the outputs of a noisy content and of the content (Deng et al. 2021, MCCNet, section 3.3).

    It keeps brightness from flickering. The authors' weight is 3000, beside content 3 and style 10. Without ``change``, it
    compares two images.

    Args:
        least: smallest standard deviation of the noise, for images in [0, 1]
        most: largest standard deviation; each image has one in between

    Raises:
        StylekitError: an option is negative.
    """

    def __init__(self, least: float = 0.01, most: float = 0.02) -> None:
        super().__init__()
        require_not_negative(least=least, most=most)
        self.least, self.most = least, most

    def change(self, output: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """Adds noise to the reference, for which the output ``(N, C, H, W)`` should stay the same."""
        return output, noisy(reference, self.least, self.most)

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, C, H, W)``: a scalar."""
        return F.mse_loss(output, reference)


def require_not_negative(**options: float) -> None:
    """Raises an error for an option below 0."""
    for name, value in options.items():
        if not 0 <= value < math.inf:
            raise StylekitError(f"The option {name!r} is {value}, but must be at least 0.")


def noisy(image: Tensor, least: float, most: float) -> Tensor:
    """The images with normal noise, clamped to [0, 1]; its deviation is uniform between two values for each image."""
    deviation = least + (most - least) * torch.rand(len(image), 1, 1, 1, device=image.device, dtype=image.dtype)
    return (image + deviation * torch.randn_like(image)).clamp(0, 1)


def blurred(flow: Tensor) -> Tensor:
    """The means over windows of ``CELL`` by ``CELL`` pixels; values at the border are repeated beyond it."""
    before, after = CELL // 2, CELL - 1 - CELL // 2
    rows = F.avg_pool2d(F.pad(flow, (0, 0, before, after), mode="replicate"), (CELL, 1), 1)
    return F.avg_pool2d(F.pad(rows, (before, after, 0, 0), mode="replicate"), (1, CELL), 1)


@hookimpl
def stylekit_losses() -> dict[str, Callable[..., ImageLoss]]:
    return {"warp-consistency": WarpConsistency, "noise-consistency": NoiseConsistency}
