"""The controls of stylising, computed by NumPy; see :mod:`stylekit.inference.controls` for what they do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image

from stylekit import images
from stylekit.images.picture import as_mask, over_white
from stylekit.images.pixels import LUMA
from stylekit.images.resizing import resize_array
from stylekit.inference.controls import KeepColor
from stylekit.inference.exported.card import Array

FAINTEST = 1 / 255**2
"""The variance of one 8-bit step; a smaller one is rounding error."""


def read_colors(path: Path | str) -> Array:
    """The colours ``(1, 3, H, W)`` of an image file, over white."""
    picture = images.read(path, arrays=True)
    return cast(Array, over_white(picture.image, picture.alpha))


def read_mask(path: Path | str) -> Array:
    """A mask ``(1, 1, H, W)``: the mean of the colours. Transparent pixels count as black."""
    return cast(Array, as_mask(images.read(path, arrays=True)))


def fit_masks(masks: Sequence[Array], size: tuple[int, int]) -> list[Array]:
    """Scales masks to a height and width, bilinear and antialiased."""
    return [mask if mask.shape[2:] == size else resize_array(mask, size, Image.Resampling.BILINEAR) for mask in masks]


def keep_color(styled: Array, content: Array, how: KeepColor | None) -> Array:
    """Transfers the colours of the content to the stylised image, both ``(1, 3, H, W)``."""
    if how is None:
        return styled
    if how == "luminance":
        change = np.tensordot(np.array(LUMA, np.float32), (styled - content)[0], 1)
        return (content + change).clip(0, 1)
    return match_color(styled, content)


def match_color(image: Array, other: Array) -> Array:
    """Maps the colours of an image to the mean and covariance of another's; see :func:`stylekit.images.color.match_color`."""
    mean, covariance = _moments(image)
    target_mean, target = _moments(other)
    own, inverse, root = _power(covariance, 0.5, FAINTEST), _power(covariance, -0.5, FAINTEST), _power(target, 0.5)
    both = own @ root
    change = inverse @ _power(both @ both.T, 0.5) @ inverse
    matched = change @ (image[0].reshape(3, -1) - mean[:, None]) + target_mean[:, None]
    return np.asarray(matched.reshape(image.shape).clip(0, 1), np.float32)


def _moments(image: Array) -> tuple[Array, Array]:
    colors = image[0].reshape(3, -1).astype(np.float64)
    centred = colors - colors.mean(1, keepdims=True)
    return colors.mean(1), centred @ centred.T / colors.shape[1]


def _power(symmetric: Array, exponent: float, least: float = 0.0) -> Array:
    values, vectors = np.linalg.eigh(symmetric)
    powered: Array = (vectors * values.clip(min=least) ** exponent) @ vectors.T
    return powered
