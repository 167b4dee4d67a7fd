"""Colour statistics of images, transfer of the colours of one image to another, and CIELAB.

Images are float tensors ``(N, 3, H, W)`` in ``[0, 1]``, on any device; half precision is computed in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stylekit.ops import gram_matrix, reference

__all__ = ["color_stats", "color_table", "from_lab", "keep_luminance", "match_color", "to_lab"]

FAINTEST = 1 / 255**2
"""The variance of one 8-bit step. A smaller variance is rounding error, which must not be amplified to visible colours."""
XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
"""CIE XYZ of the primaries of sRGB; white is the sum of each row (D65)."""
RGB = ((3.2404542, -1.5371385, -0.4985314), (-0.9692660, 1.8760108, 0.0415560), (0.0556434, -0.2040259, 1.0572252))
"""The inverse of that matrix."""
KNEE = 6 / 29
"""Below the cube of this, the lightness of CIELAB is linear."""


def color_stats(image: Tensor) -> tuple[Tensor, Tensor]:
    """The mean colour of each image, and the symmetric square root of the covariance of its colours.

    The root is for three channels what the standard deviation is for one: the average of the roots of two images describes
    colours between those of the images, like the average of the means.

    Args:
        image: ``(N, 3, H, W)`` in [0, 1], of any size

    Returns:
        The mean ``(N, 3)`` and the root ``(N, 3, 3)``, in float32, or float64 if the image is.
    """
    with reference.without_autocast(image):
        mean, covariance = _moments(image)
        return mean, _power(covariance, 0.5)


def match_color(image: Tensor, mean: Tensor, root: Tensor, strength: float = 1.0) -> Tensor:
    """Maps the colours of each image to a given mean and covariance, usually those of another image.

    Of all linear maps that do this, it uses the one with the smallest mean squared change of the colours: the map of
    Monge and Kantorovich (Pitié and Kokaram 2007, "The linear Monge-Kantorovitch linear colour mapping for
    example-based colour transfer"), ``T = C^-1 (C R^2 C)^(1/2) C^-1``, where C is the root of the image and R the given
    root. T is symmetric without negative eigenvalues, so it maps no colour to its opposite. The map ``R C^-1`` of Gatys et
    al. 2016 ("Preserving color in neural artistic style transfer") equals it only if C and R have the same axes; otherwise
    that map also rotates the colours. For a strength between 0 and 1, the map is also the one with the smallest change
    that leads to its colours.

    A grey image is tinted from dark to light, as far as the given colours are correlated with brightness.

    Args:
        image: ``(N, 3, H, W)`` in [0, 1]
        mean: the target mean, ``(N, 3)`` or ``(1, 3)``
        root: the root of the target covariance, as :func:`color_stats` returns it, ``(N, 3, 3)`` or ``(1, 3, 3)``
        strength: from 0, which keeps the colours of the image, to 1 for the target colours

    Returns:
        Images of the same shape and type, clamped to [0, 1]; apart from the clamping, their statistics are exact.
    """
    with reference.without_autocast(image):
        own_mean, change = _matching(image, root)
        matched = change @ (image.flatten(2) - own_mean[..., None]) + mean[..., None]
    return torch.lerp(image, matched.view_as(image).to(image.dtype), strength).clamp(0, 1)


def color_table(image: Tensor, mean: Tensor, root: Tensor, strength: float = 1.0, size: int = 33) -> Tensor:
    """What :func:`match_color` does to an image, as a table of colours, which video editors can apply (.cube files).

    Args:
        image: ``(1, 3, H, W)`` in [0, 1]
        mean: the target mean, ``(1, 3)``
        root: the root of the target covariance, ``(1, 3, 3)``
        strength: as for :func:`match_color`
        size: values of red, green and blue in the table, evenly spaced from 0 to 1

    Returns:
        The new colours ``(size, size, size, 3)`` in [0, 1], by blue, green and red.
    """
    values = torch.linspace(0, 1, size, dtype=image.dtype, device=image.device)
    blue, green, red = torch.meshgrid(values, values, values, indexing="ij")
    colors = torch.stack([red, green, blue], -1)
    own_mean, change = _matching(image, root)
    matched = (colors - own_mean[0]) @ change[0] + mean[0]  # the map is symmetric
    return torch.lerp(colors, matched, strength).clamp(0, 1)


def _matching(image: Tensor, root: Tensor) -> tuple[Tensor, Tensor]:
    """The mean colour ``(N, 3)`` of images, and the map ``(N, 3, 3)`` that gives the differences from it the given root."""
    own_mean, own_covariance = _moments(image)
    own, inverse = (_power(own_covariance, exponent, FAINTEST) for exponent in (0.5, -0.5))
    both = own @ root
    return own_mean, inverse @ _power(both @ both.mT, 0.5) @ inverse


def keep_luminance(stylized: Tensor, content: Tensor) -> Tensor:
    """Combines the luminance of the stylised images (Y of YIQ) with the colours of the content (I and Q).

    Source: Gatys et al. 2016, "Preserving color in neural artistic style transfer", luminance-only transfer. Y contributes
    equally to red, green and blue, so it is replaced by adding the difference in luminance to all three.

    Args:
        stylized: ``(N, 3, H, W)`` in [0, 1]
        content: images of the same shape

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
    """Powers of symmetric matrices ``(N, 3, 3)``, whose eigenvalues are first clamped to at least ``least``."""
    values, vectors = torch.linalg.eigh(symmetric)
    powered: Tensor = (vectors * values.clamp(min=least).pow(exponent)[..., None, :]) @ vectors.mT
    return powered


def to_lab(image: Tensor) -> Tensor:
    """Converts images from sRGB to CIELAB, whose white is that of sRGB (D65).

    Args:
        image: ``(N, 3, H, W)`` in [0, 1]

    Returns:
        The lightness L in [0, 100], and a (green to red) and b (blue to yellow) from about -108 to 98, ``(N, 3, H, W)``, in
        float32, or float64 if the image is.
    """
    with reference.without_autocast(image):
        rgb = image if image.dtype == torch.float64 else image.float()
        linear = torch.where(rgb > 0.04045, ((rgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4, rgb / 12.92)
        matrix = linear.new_tensor(XYZ)
        ratio = _mixed(linear, matrix / matrix.sum(1, keepdim=True))
        x, y, z = torch.where(
            ratio > KNEE**3, ratio.clamp(min=KNEE**3) ** (1 / 3), ratio / (3 * KNEE**2) + 4 / 29
        ).split(1, 1)
        return torch.cat([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def from_lab(lab: Tensor) -> Tensor:
    """Converts images from CIELAB to sRGB, and keeps their luminance even where sRGB does not contain the colour.

    Such a colour is mixed, in linear light, with the grey of its luminance, until all channels are in range.

    Args:
        lab: L, a and b ``(N, 3, H, W)``, as from :func:`to_lab`

    Returns:
        Images ``(N, 3, H, W)`` in [0, 1], in float32, or float64 if ``lab`` is.
    """
    with reference.without_autocast(lab):
        light, a, b = (lab if lab.dtype == torch.float64 else lab.float()).split(1, 1)
        y = (light + 16) / 116
        root = torch.cat([y + a / 500, y, y - b / 200], 1)
        ratio = torch.where(root > KNEE, root**3, 3 * KNEE**2 * (root - 4 / 29))
        matrix = ratio.new_tensor(XYZ)
        grey = ratio[:, 1:2].clamp(0, 1)
        change = _mixed(ratio * matrix.sum(1)[:, None, None], matrix.new_tensor(RGB)) - grey
        room = torch.where(change > 0, 1 - grey, grey) / change.abs().clamp(min=1e-6)
        linear = (grey + change * room.amin(1, keepdim=True).clamp(max=1)).clamp(0, 1)
        return torch.where(linear > 0.0031308, 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055, 12.92 * linear)


def _mixed(image: Tensor, matrix: Tensor) -> Tensor:
    """The channels of images ``(N, 3, H, W)``, mixed by a matrix."""
    return torch.einsum("nchw,dc->ndhw", image, matrix)
