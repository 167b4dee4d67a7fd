"""Resizing and padding images."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from stylekit.images.picture import Picture
from stylekit.images.pixels import Array

if TYPE_CHECKING:
    from torch import Tensor


def scaled(size: tuple[int, int], factor: float) -> tuple[int, int]:
    """The height and width of an image whose sides are multiplied by a factor, at least 1 pixel each."""
    height, width = size
    return max(1, round(height * factor)), max(1, round(width * factor))


def same_proportions(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether a height and a width are those of an image that was resized to ``other``, but for rounding."""
    (height, width), (rows, columns) = size, other
    return abs(height * columns - width * rows) <= max(height + width, rows + columns) / 2


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resizes the image ``(N, C, H, W)`` to ``size = (height, width)``: bicubic, antialiased, clamped to ``[0, 1]``.

    An array ``(1, C, H, W)`` is resized by Pillow, whose filter is the same, and torch is not imported.
    """
    if isinstance(image, np.ndarray):
        return resize_array(image, size)
    from torch.nn import functional

    return functional.interpolate(image, size, mode="bicubic", antialias=True).clamp(0, 1)


def enlarge(image: Tensor, scale: int) -> Tensor:
    """Multiplies the sides of the image ``(N, C, H, W)``, or of an array, by ``scale``, as :func:`resize` does."""
    height, width = image.shape[-2:]
    return image if scale == 1 else resize(image, (height * scale, width * scale))


def resize_array(image: Array, size: tuple[int, int], filter_: Image.Resampling = Image.Resampling.BICUBIC) -> Array:
    """Resizes the array ``(1, C, H, W)`` by a filter of Pillow, clamped to ``[0, 1]``."""
    planes = [Image.fromarray(plane, "F").resize(size[::-1], filter_) for plane in np.ascontiguousarray(image[0])]
    return np.stack([np.asarray(plane) for plane in planes])[None].clip(0, 1)


def reduced(picture: Picture, longest: int) -> Picture:
    """The picture, with a longer side of at most ``longest`` pixels; 0: unchanged."""
    height, width = picture.image.shape[-2:]
    if not 0 < longest < max(height, width):
        return picture
    size = scaled((height, width), longest / max(height, width))
    alpha = None if picture.alpha is None else resize(picture.alpha, size)
    return replace(picture, image=resize(picture.image, size), alpha=alpha, stored=None)


def pad_to(image: Tensor, stride: int, least: int = 1) -> Tensor:
    """Pads the image ``(..., H, W)`` so that its sides are multiples of ``stride`` and at least ``least``.

    The padding, at the bottom and the right, mirrors the image. Where the image is too small for that, the last mirrored
    line is repeated. If no padding is needed, the image itself is returned. Remove the padding with ``[..., :H, :W]``.
    """
    import torch

    exporting = torch.compiler.is_exporting()
    for dim in (-2, -1):
        side = image.shape[dim]
        longer = torch.sym_max(side, least) if exporting else max(side, least)
        length = (longer + stride - 1) // stride * stride  # without negative numbers, whose division ONNX rounds up
        image = (
            _mirrored(image, dim, torch.arange(length, device=image.device))
            if exporting
            else _extend(image, dim, length)
        )
    return image


def extend(image: Tensor, margin: int) -> Tensor:
    """Continues the image ``(..., H, W)`` beyond its borders by ``margin`` pixels, where it is mirrored.

    Where the image is too small for that, the last mirrored line is repeated. An exported graph takes all sizes.
    """
    import torch

    for dim in (-2, -1):
        image = _mirrored(image, dim, torch.arange(-margin, image.shape[dim] + margin, device=image.device))
    return image


def _mirrored(image: Tensor, dim: int, positions: Tensor) -> Tensor:
    """The lines of the image at positions that may lie beyond its borders; an exported graph takes all sizes."""
    last = image.shape[dim] - 1
    return image.index_select(dim, last - (last - positions.clamp(-last, 2 * last).abs()).abs())


def _extend(image: Tensor, dim: int, length: int) -> Tensor:
    side = image.shape[dim]
    if length == side:
        return image
    import torch

    mirrored = min(length - side, side - 1)
    # Concatenates the pieces because the gradient of functional.pad is not deterministic on CUDA.
    mirror = image.narrow(dim, side - 1 - mirrored, mirrored).flip(dim)
    last = image.narrow(dim, side - 1 - mirrored, 1)
    return torch.cat([image, mirror, last.repeat_interleave(length - side - mirrored, dim)], dim)
