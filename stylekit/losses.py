"""Losses that methods share, of each picture by itself: a method takes their mean, or sums them."""

from __future__ import annotations

from torch import Tensor

__all__ = ["gram_error", "total_variation"]


def gram_error(gram: Tensor, wanted: Tensor) -> Tensor:
    """The squared error of Gram matrices, as a share of the wanted ones' square.

    Source: Gatys et al. 2016, equation 4, which is not relative, and so needs a weight for each layer of each encoder.

    Args:
        gram: from :func:`stylekit.ops.gram_matrix`, ``(N, C, C)``
        wanted: ``(N, C, C)``, or ``(1, C, C)`` for all; the square of one that is all but zero is taken as 1e-12

    Returns:
        ``(N,)``, at least 0.
    """
    return (gram - wanted).square().sum((1, 2)) / wanted.square().sum((1, 2)).clamp(min=1e-12)


def total_variation(image: Tensor, power: float = 2.0) -> Tensor:
    """The mean difference of neighbours to a power, below plus beside.

    Source: Mahendran and Vedaldi 2015, of which the power 2 is that with beta = 2, with means instead of sums; the power
    1 is the anisotropic form of Rudin et al. 1992.

    Args:
        image: ``(N, C, H, W)``; a side of one pixel has no neighbours, and adds nothing
        power: 2, which spreads edges out, or 1, which leaves them as they are

    Returns:
        ``(N,)``, at least 0.
    """
    variation = image.new_zeros(len(image))
    for dim in (2, 3):
        if image.shape[dim] > 1:
            variation = variation + image.diff(dim=dim).abs().pow(power).mean((1, 2, 3))
    return variation
