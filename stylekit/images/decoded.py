"""An image as its file holds it, from which pictures of its parts are made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from stylekit.images import pixels
from stylekit.images.bands import Bands
from stylekit.images.picture import Metadata, Picture
from stylekit.images.profiles import Profile

WHOLE = slice(None)
BAND = 512
"""Rows whose colours are averaged at once."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """The values of an image file, upright. Those of some large files are read when they are needed.

    Attributes:
        stored: colours ``(H, W, 3)`` as they are in the file, uint8 or uint16, or float32 in ``[0, 1]``
        alpha: alpha channel ``(H, W)``; None if the file has none
        metadata: EXIF and the like
        profile: colour profile; None: sRGB
    """

    stored: pixels.Array | Bands
    alpha: pixels.Array | Bands | None
    metadata: Metadata
    profile: Profile | None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.stored.shape[:2]
        return height, width

    @property
    def depth(self) -> int:
        """Bits per channel, 8 or 16."""
        return 8 if self.stored.dtype == np.uint8 else 16

    def part(self, rows: slice = WHOLE, columns: slice = WHOLE, arrays: bool = False) -> Picture:
        """The picture of some rows and columns; by default, of all.

        Args:
            rows: the rows
            columns: the columns
            arrays: the picture has NumPy arrays instead of tensors, and torch is not imported
        """
        to_float = pixels.converter(arrays)
        stored, profile = self.stored[rows, columns], self.profile
        convert = profile is not None and not profile.is_srgb and stored.dtype != np.float32
        converted = profile.to_srgb(stored) if convert and profile else stored
        return Picture(
            to_float(converted),
            None if self.alpha is None else to_float(self.alpha[rows, columns]),
            self.depth,
            replace(self.metadata, icc_profile=profile.data if profile else None),
            np.array(stored) if convert else None,
        )

    @cached_property
    def visible_color(self) -> pixels.Array:
        """The mean colour ``(3,)`` in ``[0, 1]`` of all pixels that are not fully transparent."""
        total, count = np.zeros(3), 0.0
        for top in range(0, self.size[0], BAND):
            picture = self.part(slice(top, top + BAND), arrays=True)
            colors, alpha = np.asarray(picture.image), picture.alpha
            visible = np.ones_like(colors[:, :1]) if alpha is None else np.asarray(alpha) > 0
            total += (colors * visible).sum((0, 2, 3), dtype=np.float64)
            count += float(visible.sum())
        return total / max(count, 1.0)
