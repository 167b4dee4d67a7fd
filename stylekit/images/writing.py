"""Writing image files, and PIL images."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from stylekit._files import write_atomic
from stylekit.datasets.files import HEIC, SUFFIXES
from stylekit.errors import StylekitError
from stylekit.images import pixels, profiles
from stylekit.images.metadata import save_options
from stylekit.images.picture import Picture, over_white, with_profile
from stylekit.images.pixels import Array
from stylekit.images.png import encode_png
from stylekit.images.tiff import encode_tiff

if TYPE_CHECKING:
    from torch import Tensor

JPEG = ("JPEG", {"quality": 95, "subsampling": "4:4:4"})
HEIF = ("HEIF", {"quality": 90})
KNOWN: dict[str, tuple[str, dict[str, Any]]] = {
    ".jpg": JPEG,
    ".jpeg": JPEG,
    ".jpe": JPEG,
    ".jfif": JPEG,
    ".png": ("PNG", {}),
    ".apng": ("PNG", {}),
    ".webp": ("WEBP", {"quality": 95}),
    ".tif": ("TIFF", {}),
    ".tiff": ("TIFF", {}),
    ".bmp": ("BMP", {}),
    ".gif": ("GIF", {}),
    ".jp2": ("JPEG2000", {"no_jp2": False}),
    ".j2k": ("JPEG2000", {"no_jp2": True}),
    ".avif": ("AVIF", {"quality": 90, "subsampling": "4:4:4"}),
    **dict.fromkeys(HEIC, HEIF),
}
FORMATS = {suffix: KNOWN[suffix] for suffix in SUFFIXES}
"""Pillow's name for the format of each suffix, and the options for writing it."""
PROFILED = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF")
"""Formats that hold a colour profile."""
DEEP = ("PNG", "TIFF")
"""Formats that are written with 16 bits per channel."""
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
    colors = np.moveaxis(to_planes(picture.image, 3).clip(0, 1), 0, -1)
    values = _rounded(profile.from_srgb(colors), depth)
    if stored is None or stored.shape != colors.shape:
        return values
    before = np.moveaxis(pixels.to_array(profile.to_srgb(stored))[0], 0, -1)
    unchanged = (before == colors).all(-1, keepdims=True)
    result: Array = np.where(unchanged, _rounded(stored / np.float32(np.iinfo(stored.dtype).max), depth), values)
    return result


def to_integers(image: Tensor | Array, channels: int, depth: int = 8) -> Array:
    """The values ``(channels, H, W)`` of an image as integers of 8 or 16 bits."""
    return _rounded(to_planes(image, channels).clip(0, 1), depth)


def to_planes(image: Tensor | Array, channels: int) -> Array:
    """The image as an array ``(channels, H, W)``, float32."""
    values = image if isinstance(image, np.ndarray) else _to_array(image)
    planes = values[0] if values.ndim == 4 and len(values) == 1 else values
    if planes.ndim != 3 or len(planes) != channels or not planes.size:
        raise ValueError(f"An image must have the shape (1, {channels}, H, W), not {tuple(image.shape)}.")
    if np.isnan(planes).any():
        raise StylekitError("The image contains NaN: the computation that produced it went out of range.")
    return planes


def _to_array(image: Tensor) -> Array:
    if not image.is_floating_point():
        raise TypeError(f"An image must be a float tensor in [0, 1], not {image.dtype}.")
    values: Array = image.detach().float().cpu().numpy()
    return values


def _rounded(values: Array, depth: int) -> Array:
    scaled = values * np.float32(2**depth - 1) + np.float32(0.5)
    return np.asarray(scaled, np.uint8 if depth == 8 else np.uint16)


def write(path: Path | str, picture: Picture | Tensor, *, depth: int | None = None, quality: int | None = None) -> None:
    """Writes an image file atomically; the suffix determines the format.

    JPEG and BMP store no alpha channel, so the image is composited over white; GIF stores 255 colours. JPEG (4:4:4) and WebP
    are written with quality 95, AVIF and HEIC with 90, TIFF and JPEG 2000 without loss.

    Args:
        path: the file; an existing one is replaced
        picture: the picture, or an image ``(1, 3, H, W)`` or ``(3, H, W)``, clamped to ``[0, 1]``
        depth: bits per channel, 8 or 16; by default those of the picture if the format stores them, as PNG and TIFF do
        quality: quality of JPEG, WebP, AVIF and HEIC, from 1 to 100

    Raises:
        StylekitError: the suffix is unknown, the folder does not exist, no space is left, or the format does not support the
            image's size or depth
    """
    path = Path(path)
    picture = picture if isinstance(picture, Picture) else Picture(picture)
    name, options = write_format(path, quality)
    depth = written_depth(path, name, depth, picture.depth)
    try:
        content = _encode(picture, name, options, depth)
    except (OSError, ValueError, struct.error) as error:
        raise StylekitError(f"{path} cannot be written as {name}: {error}.") from error
    write_atomic(path, content)


def write_format(path: Path, quality: int | None = None) -> tuple[str, dict[str, Any]]:
    """The format of a file by its suffix, and the options for writing it, with another quality if the format has one.

    Raises:
        StylekitError: the suffix is unknown
    """
    if path.suffix.lower() not in FORMATS:
        raise StylekitError(f"{path} has no suffix of an image format. Use one of {', '.join(FORMATS)}.")
    name, options = FORMATS[path.suffix.lower()]
    return name, options | ({"quality": quality} if quality and "quality" in options else {})


def written_depth(path: Path, name: str, wanted: int | None, own: int) -> int:
    """The bits per channel with which an image is written.

    Args:
        path: the file, for the message
        name: its format
        wanted: what the user wants; None: those of the image, if the format stores them
        own: those of the image

    Raises:
        StylekitError: the format does not support them
    """
    if wanted not in (None, 8, 16) or (wanted == 16 and name not in DEEP):
        raise StylekitError(f"{path} cannot be written with {wanted} bits per channel. Use 8, or 16 for PNG and TIFF.")
    return wanted or (own if name in DEEP else 8)


def _encode(picture: Picture, name: str, options: dict[str, Any], depth: int) -> bytes:
    picture = fitted(picture, name)
    if name == "TIFF":
        return encode_tiff([(to_channels(picture, depth), picture.metadata)])
    if depth == 16:
        return encode_png(to_channels(picture, depth), picture.metadata)
    image = to_palette(to_pil(picture)) if name == "GIF" else to_pil(picture)
    file = io.BytesIO()
    image.save(file, name, **options, **save_options(picture.metadata, name))
    return file.getvalue()


def fitted(picture: Picture, name: str) -> Picture:
    """The picture without what a format does not hold: the profile, and the alpha channel."""
    if name not in PROFILED:
        picture = with_profile(picture, None)
    if picture.alpha is not None and name in OPAQUE:
        return replace(picture, image=over_white(picture.image, picture.alpha), alpha=None)
    return picture


def to_channels(picture: Picture, depth: int) -> Array:
    """The colours as :func:`to_stored` returns them, and alpha: ``(H, W, 3 or 4)``."""
    colors = to_stored(picture, depth)
    if picture.alpha is None:
        return colors
    return np.concatenate([colors, np.moveaxis(to_integers(picture.alpha, 1, depth), 0, -1)], -1)


TRANSPARENT = 255
"""The palette's entry for transparent pixels in GIF files."""


def to_palette(image: Image.Image) -> Image.Image:
    """An RGB or RGBA image with the best 255 colours; pixels with an alpha below a half are transparent."""
    result = image.convert("RGB").quantize(TRANSPARENT)
    if image.mode == "RGBA":
        result.paste(TRANSPARENT, mask=image.getchannel("A").point(lambda value: 255 * (value < 128)))
        result.info["transparency"] = TRANSPARENT
    return result
