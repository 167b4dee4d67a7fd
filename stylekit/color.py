"""The colours of pictures as a whole: their statistics, and how one picture takes on another's.

Images are float tensors ``(N, 3, H, W)`` in ``[0, 1]``, on any device; half precision is computed in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stylekit.ops import gram_matrix, reference

__all__ = ["color_stats", "keep_luminance", "match_color"]

FAINTEST = 1 / 255**2
"""The variance of one step of 8 bits; what varies less is rounding, and is not blown up to a picture's colours."""


def color_stats(image: Tensor) -> tuple[Tensor, Tensor]:
    """The mean colour of each image, and the symmetric square root of the covariance of its colours.

    The root is for three channels what the standard deviation is for one: of two pictures, the average of the roots is
    between them, as that of the means is.

    Args:
        image: ``(N, 3, H, W)`` in [0, 1], of any size

    Returns:
        The mean ``(N, 3)`` and the root ``(N, 3, 3)``, in float32, or float64 if the image is.
    """
    with reference.without_autocast(image):
        mean, covariance = _moments(image)
        return mean, _power(covariance, 0.5)


def match_color(image: Tensor, mean: Tensor, root: Tensor, strength: float = 1.0) -> Tensor:
    """Brings the colours of each image to a mean and a covariance, and so near to another picture's.

    Of all linear maps that do so, it is the one that moves the colours least, in the mean of the squares: the one of
    Monge and Kantorovich (Pitié and Kokaram 2007, "The linear Monge-Kantorovitch linear colour mapping for
    example-based colour transfer"), ``T = C^-1 (C R^2 C)^(1/2) C^-1``, with C and R the image's own root and the other.
    T is symmetric without negative eigenvalues, so it turns no colour into its opposite. The map ``R C^-1`` of Gatys et
    al. 2016 ("Preserving color in neural artistic style transfer") equals it only where C and R have their axes in
    common, and else turns the colours as well. Of maps in between, each is the one that moves least to where it leads.

    A grey picture takes on tints, from dark to light, as far as the other's colours go with its brightness.

    Args:
        image: ``(N, 3, H, W)`` in [0, 1]
        mean: the colour to come to, ``(N, 3)`` or ``(1, 3)``
        root: of the covariance to come to, as :func:`color_stats` gives it, ``(N, 3, 3)`` or ``(1, 3, 3)``
        strength: 1 for those colours, 0 for the image's own, or between

    Returns:
        Images of the same shape and type, clamped to [0, 1]; their statistics are exact but for that.
    """
    with reference.without_autocast(image):
        own_mean, own_covariance = _moments(image)
        own, inverse = (_power(own_covariance, exponent, FAINTEST) for exponent in (0.5, -0.5))
        both = own @ root
        change = inverse @ _power(both @ both.mT, 0.5) @ inverse
        matched = change @ (image.flatten(2) - own_mean[..., None]) + mean[..., None]
    return torch.lerp(image, matched.view_as(image).to(image.dtype), strength).clamp(0, 1)


def keep_luminance(stylized: Tensor, content: Tensor) -> Tensor:
    """The luminance of the stylised pictures with the content's colours: Y of one, I and Q of the other.

    Source: Gatys et al. 2016, "Preserving color in neural artistic style transfer", luminance-only transfer. As Y has
    the same share in red, green and blue, it is exchanged by adding to all three what it differs by.

    Args:
        stylized: ``(N, 3, H, W)`` in [0, 1]
        content: pictures of the same shape

    Returns:
        Images of that shape, clamped to [0, 1].
    """
    kept: Tensor = content + _luminance(stylized) - _luminance(content)
    return kept.clamp(0, 1)


def _luminance(image: Tensor) -> Tensor:
    """Y of YIQ, ``(N, 1, H, W)``."""
    return 0.299 * image[:, :1] + 0.587 * image[:, 1:2] + 0.114 * image[:, 2:]


def _moments(image: Tensor) -> tuple[Tensor, Tensor]:
    """The mean ``(N, 3)`` and the covariance ``(N, 3, 3)`` of an image's colours."""
    values = image if image.dtype == torch.float64 else image.float()
    mean = values.mean((2, 3))
    return mean, gram_matrix(values - mean[..., None, None]) * image.shape[1]


def _power(symmetric: Tensor, exponent: float, least: float = 0.0) -> Tensor:
    """Powers of symmetric matrices ``(N, 3, 3)``, whose eigenvalues are raised to ``least`` first."""
    values, vectors = torch.linalg.eigh(symmetric)
    powered: Tensor = (vectors * values.clamp(min=least).pow(exponent)[..., None, :]) @ vectors.mT
    return powered
