"""Images with 16 bits per channel, of which Pillow reads only grey ones."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from PIL import ImageFile

from stylekit.datasets import AnyFile, open_image
from stylekit.images.pixels import Array

OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
CHANNELS = {"RGB", "RGBA", "RGBX", "R", "G", "B", "A"}
BITS, PLANAR = 258, 284
"""Tags of a TIFF file: bits of each channel, and whether each channel is stored by itself (2)."""


def has_16_bits(file: ImageFile.ImageFile) -> bool:
    """Whether an open image, not loaded yet, has 16 bits per channel."""
    return any(";16" in str(tile[3]) for tile in file.tile)


def samples(path: AnyFile | str, file: ImageFile.ImageFile) -> Array | None:
    """The 16-bit colours, and perhaps alpha, ``(H, W, 3 or 4)``, of an open file that was not loaded yet; None if it has 8
    bits, stores each channel by itself and compressed, or is grey, whose 16 bits Pillow keeps.

    Pillow decodes such files, but keeps one byte of each value. With its notion of the byte order exchanged, it keeps the
    other one.
    """
    if getattr(file, "tag_v2", {}).get(PLANAR) == 2 and not _correct_planes(file):
        return None
    tiles = [_low_bytes(tile) for tile in file.tile]
    if not tiles or None in tiles:
        return None
    grey = str(_raw_mode(file.tile[0])).startswith("LA")
    file.load()
    with open_image(path) as again:
        again.seek(file.tell())
        again.tile = tiles
        again.load()
        low = np.asarray(again).astype(np.uint16)
    if grey:  # four bytes: grey, high and low, and alpha, high and low
        values = low[..., ::2] << 8 | low[..., 1::2]
        return values[..., [0, 0, 0, 1]]
    return np.asarray(file).astype(np.uint16) << 8 | low


def _correct_planes(file: Any) -> bool:
    """Corrects how Pillow reads a TIFF file that stores each channel by itself, uncompressed: as if it had 8 bits. Returns
    False for other files, of which it reads the high bytes only."""
    if any(tile[0] != "raw" for tile in file.tile) or set(file.tag_v2.get(BITS, ())) != {16}:
        return False
    order = "L" if file.tag_v2.prefix == b"II" else "B"
    file.tile = [_with_mode(tile, f"{_raw_mode(tile)[0]};16{order}") for tile in file.tile]
    return True


def _raw_mode(tile: Any) -> Any:
    return tile[3] if isinstance(tile[3], str) else tile[3][0]


def _low_bytes(tile: Any) -> Any:
    """The tile with which Pillow decodes the low bytes; None if there are none."""
    channels, separator, order = str(_raw_mode(tile)).partition(";16")
    if not separator or order not in OTHER_ORDER:
        return None
    if channels == "LA":
        return _with_mode(tile, "RGBA")
    return _with_mode(tile, f"{channels};16{OTHER_ORDER[order]}") if channels in CHANNELS else None


def _with_mode(tile: Any, mode: str) -> Any:
    arguments = mode if isinstance(tile[3], str) else (mode, *tile[3][1:])
    return tile._replace(args=arguments) if hasattr(tile, "_replace") else (*tile[:3], arguments)
