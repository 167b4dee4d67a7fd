"""From the colours of a file to sRGB, and back."""

from __future__ import annotations

import contextlib
import io
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from stylekit.images import icc
from stylekit.images.icc import Array

FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION
INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
GRID = np.stack(np.meshgrid(*[np.arange(0, 256, 17, dtype=np.uint8)] * 3), -1).reshape(64, 64, 3)
"""Colours by which profiles are compared."""


def as_rgb(image: Image.Image) -> Image.Image:
    """A CMYK or LAB image in sRGB; CMYK without a usable profile by Pillow's formula. Other images unchanged."""
    if image.mode == "LAB":
        return _converted(ImageCms.createProfile("LAB"), image)
    if image.mode != "CMYK":
        return image
    profile = image.info.get("icc_profile")
    if profile and profile[16:20] == b"CMYK":
        with contextlib.suppress(Exception):  # lcms raises many types for damaged profiles
            return _converted(_open(profile), image)
    return image.convert("RGB")


def _converted(profile: Any, image: Image.Image) -> Image.Image:
    srgb = ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(profile, srgb, image.mode, "RGB", INTENT, FLAGS).apply(image)


def rgb_profile(image: Image.Image) -> Profile | None:
    """The profile of the image's colours as RGB; None for sRGB without a profile, or if the profile is damaged.

    A grey image gets an RGB profile with its own curve, and a PNG file that states its gamma or primaries one with them.
    """
    if image.mode in ("CMYK", "LAB"):
        return None
    data = image.info.get("icc_profile") or _png_profile(image.info)
    return usable(_grey_profile(data) if data and data[16:20] == b"GRAY" else data)


def _grey_profile(profile: bytes) -> bytes | None:
    try:
        curve = icc.tags(profile)[b"kTRC"]
        icc.curve(curve)
        return icc.build(icc.SRGB, curve)
    except Exception:  # damaged, or with tables
        return None


def _png_profile(info: dict[str | tuple[int, int], Any]) -> bytes | None:
    """The profile of a PNG file that states its gamma or primaries, unless they are those of sRGB."""
    gamma, points = info.get("gamma"), info.get("chromaticity")
    if "srgb" in info or not (gamma or points):
        return None
    try:
        usual = gamma is None or abs(gamma - 0.45455) < 0.01  # by convention, this stands for the curve of sRGB
        matrix = icc.primaries_matrix(*zip(points[::2], points[1::2], strict=True)) if points else icc.SRGB
        if usual and np.allclose(matrix, icc.SRGB, atol=2e-3):
            return None
        return icc.build(matrix, icc.SRGB_CURVE if gamma is None or usual else icc.gamma_curve(1 / gamma))
    except Exception:  # impossible values
        return None


class Profile:
    """An RGB colour profile.

    Args:
        data: the profile

    Raises:
        Exception: of any type, the profile is damaged
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        opened, srgb = _open(data), ImageCms.createProfile("sRGB")
        self._forth = ImageCms.buildTransform(opened, srgb, "RGB", "RGB", INTENT, FLAGS)
        self._back = ImageCms.buildTransform(srgb, opened, "RGB", "RGB", INTENT, FLAGS)
        self._space = icc.parse(data)

    @cached_property
    def is_srgb(self) -> bool:
        """Whether it describes sRGB, within 1 level of 255."""
        return int(np.abs(_apply(self._forth, GRID).astype(int) - GRID).max()) <= 1

    def to_srgb(self, colors: Array) -> Array:
        """Colours ``(H, W, 3)``, uint8 or uint16, in sRGB: uint8 or float32."""
        if self._space and colors.dtype != np.uint8:
            return self._space.to_srgb(colors)
        return _apply(self._forth, colors if colors.dtype == np.uint8 else (colors // 257).astype(np.uint8))

    def from_srgb(self, colors: Array) -> Array:
        """Colours ``(H, W, 3)`` in sRGB, float32 in [0, 1], as values of this profile, float32 in [0, 1]."""
        if self._space:
            return self._space.from_srgb(colors)
        values: Array = _apply(self._back, (colors * 255 + 0.5).astype(np.uint8)) / np.float32(255)
        return values


@lru_cache(maxsize=16)
def usable(data: bytes | None) -> Profile | None:
    """The profile, or None if it is not an RGB profile, or damaged."""
    if not data or data[16:20] != b"RGB ":
        return None
    try:
        return Profile(data)
    except Exception:  # lcms raises many types
        return None


def _apply(conversion: ImageCms.ImageCmsTransform, colors: Array) -> Array:
    return np.asarray(conversion.apply(Image.fromarray(np.ascontiguousarray(colors))))


def _open(data: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(io.BytesIO(data))
