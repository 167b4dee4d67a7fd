"""Writing image files, and PIL images."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from stylekit._files import write_atomic
from stylekit.errors import StylekitError
from stylekit.images import pixels, profiles
from stylekit.images.metadata import save_options
from stylekit.images.picture import Picture, over_white
from stylekit.images.pixels import Array

JPEG: dict[str, Any] = {"quality": 95, "subsampling": "4:4:4"}
FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    ".jpg": ("JPEG", JPEG),
    ".jpeg": ("JPEG", JPEG),
    ".png": ("PNG", {}),
    ".webp": ("WEBP", {"quality": 95}),
    ".tif": ("TIFF", {}),
    ".tiff": ("TIFF", {}),
    ".bmp": ("BMP", {}),
    ".gif": ("GIF", {}),
    ".apng": ("PNG", {}),
}
"""Pillow's name for the format of each suffix, and the options for writing it."""
OPAQUE = ("JPEG", "BMP")
"""Formats without an alpha channel."""


def to_pil(image: Tensor | Picture, alpha: Tensor | None = None) -> Image.Image:
    """Converts an image to an 8-bit PIL image: clamped to ``[0, 1]`` and rounded to the nearest value, halves upwards.

    Args:
        image: ``(1, 3, H, W)`` or ``(3, H, W)``, any floating-point dtype, any device; or a picture, with its alpha channel
        alpha: alpha channel ``(1, 1, H, W)`` or ``(1, H, W)``; the result is RGBA if it is passed, otherwise RGB

    Raises:
        ValueError: the image has another shape
        TypeError: the dtype is not a floating-point dtype
        StylekitError: the image contains NaN
    """
    picture = image if isinstance(image, Picture) else Picture(image, alpha)
    result = Image.fromarray(np.ascontiguousarray(to_stored(picture, 8)))
    if picture.alpha is not None:
        result.putalpha(Image.fromarray(to_integers(picture.alpha, 1)[0]))
    if picture.metadata.icc_profile:
        result.info["icc_profile"] = picture.metadata.icc_profile
    return result


def to_stored(picture: Picture, depth: int) -> Array:
    """The colours ``(H, W, 3)`` as a file of the picture's profile holds them, with 8 or 16 bits.

    Pixels with the colour that they were read with get the values that the file had.
    """
    profile, stored = profiles.usable(picture.metadata.icc_profile), picture.stored
    if profile is None or profile.is_srgb:
        return np.moveaxis(to_integers(picture.image, 3, depth), 0, -1)
    colors = to_planes(picture.image, 3).clamp(0, 1).permute(1, 2, 0).cpu().numpy()
    values = _rounded(profile.from_srgb(colors), depth)
    if stored is None or stored.shape != colors.shape:
        return values
    before = pixels.to_float(profile.to_srgb(stored))[0].permute(1, 2, 0).numpy()
    unchanged = (before == colors).all(-1, keepdims=True)
    result: Array = np.where(unchanged, _rounded(stored / np.float32(np.iinfo(stored.dtype).max), depth), values)
    return result


def to_integers(image: Tensor, channels: int, depth: int = 8) -> Array:
    """The values ``(channels, H, W)`` of an image as integers of 8 or 16 bits."""
    return _rounded(to_planes(image, channels).clamp(0, 1).cpu().numpy(), depth)


def to_planes(image: Tensor, channels: int) -> Tensor:
    """The image as ``(channels, H, W)``, float32."""
    if not image.is_floating_point():
        raise TypeError(f"An image must be a float tensor in [0, 1], not {image.dtype}.")
    planes = image.detach()[0] if image.ndim == 4 and len(image) == 1 else image.detach()
    if planes.ndim != 3 or len(planes) != channels or not planes.numel():
        raise ValueError(f"An image must have the shape (1, {channels}, H, W), not {tuple(image.shape)}.")
    planes = planes.float()
    if planes.isnan().any():
        raise StylekitError("The image contains NaN: the computation that produced it went out of range.")
    return planes


def _rounded(values: Array, depth: int) -> Array:
    scaled = values * np.float32(2**depth - 1) + np.float32(0.5)
    return np.asarray(scaled, np.uint8 if depth == 8 else np.uint16)


def write(path: Path | str, picture: Picture | Tensor, *, quality: int | None = None) -> None:
    """Writes an image file atomically; the suffix determines the format.

    PNG, WebP, TIFF, GIF and others store the alpha channel. JPEG and BMP cannot, so the image is composited over white. JPEG
    (4:4:4) and WebP are written with quality 95.

    Args:
        path: the file; an existing one is replaced
        picture: the picture, or an image ``(1, 3, H, W)`` or ``(3, H, W)``, clamped to ``[0, 1]``
        quality: quality of JPEG, WebP and AVIF, from 1 to 100

    Raises:
        StylekitError: the suffix is unknown, the folder does not exist, no space is left, or the format does not support the
            image's size
    """
    path = Path(path)
    picture = picture if isinstance(picture, Picture) else Picture(picture)
    name, options = write_format(path, quality)
    write_atomic(path, _encode(path, picture, name, options))


def write_format(path: Path, quality: int | None = None) -> tuple[str, dict[str, Any]]:
    """The format of a file by its suffix, and the options for writing it, with another quality if the format has one.

    Raises:
        StylekitError: the suffix is unknown
    """
    if path.suffix.lower() not in FORMATS:
        raise StylekitError(f"{path} has no suffix of an image format. Use one of {', '.join(FORMATS)}.")
    name, options = FORMATS[path.suffix.lower()]
    return name, options | ({"quality": quality} if quality and "quality" in options else {})


def _encode(path: Path, picture: Picture, name: str, options: dict[str, Any]) -> bytes:
    if picture.alpha is not None and name in OPAQUE:
        picture = replace(picture, image=over_white(picture.image, picture.alpha), alpha=None)
    image = to_palette(to_pil(picture)) if name == "GIF" else to_pil(picture)
    file = io.BytesIO()
    try:
        image.save(file, name, **options, **save_options(picture.metadata, name))
    except (OSError, ValueError) as error:
        raise StylekitError(f"{path} cannot be written as {name}: {error}.") from error
    return file.getvalue()


TRANSPARENT = 255
"""The palette's entry for transparent pixels in GIF files."""


def to_palette(image: Image.Image) -> Image.Image:
    """An RGB or RGBA image with the best 255 colours; pixels with an alpha below a half are transparent."""
    result = image.convert("RGB").quantize(TRANSPARENT)
    if image.mode == "RGBA":
        result.paste(TRANSPARENT, mask=image.getchannel("A").point(lambda value: 255 * (value < 128)))
        result.info["transparency"] = TRANSPARENT
    return result
