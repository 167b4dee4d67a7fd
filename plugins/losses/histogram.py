"""Colours: the histograms of red, green and blue should be those of the reference, wherever the colours are."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import hookimpl
from stylekit.hookspecs import ImageLoss


class ColorHistogram(nn.Module):
    """The distance by which values must be moved to turn one histogram into the other, averaged over channels.

    It is the 1-Wasserstein distance, the mean absolute difference of the sorted values, which needs no bins and has a
    gradient for every pixel (Risser et al. 2017 match histograms in the same way).
    """

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, C, H, W)``, whose sizes may differ: a scalar, for images in [0, 1] from 0 to 1."""
        ours, theirs = (image.flatten(2).sort(2).values for image in (output, reference))
        if ours.shape[2] != theirs.shape[2]:
            theirs = F.interpolate(theirs, ours.shape[2], mode="linear", align_corners=True)
        return F.l1_loss(ours, theirs)


@hookimpl
def stylekit_losses() -> dict[str, Callable[..., ImageLoss]]:
    return {"color-histogram": ColorHistogram}
