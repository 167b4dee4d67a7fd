"""Colours of video frames: from the Y'CbCr of a file, whatever its matrix and range, to RGB and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from stylekit.errors import warn
from stylekit.images.pixels import Array
from stylekit.images.video import hdr
from stylekit.images.video.clip import BT709
from stylekit.registry.extras import import_extra

BT601 = 5
"""The number of the matrix of ITU-R BT.601, for videos in standard definition; 6 is the same matrix."""
MATRICES = {1: 1, 4: 4, 5: BT601, 6: BT601, 7: 7, 9: 9, 10: 9}
"""FFmpeg's scaler's numbers of the matrices, by those of ITU-T H.273."""
LIMITED, FULL = 1, 2
"""Ranges: luma from 16 to 235, or all values."""
HIGH_DEFINITION = 720
"""Lines from which a video whose matrix is not stated uses that of BT.709, as players assume, too."""
EXACT = 0x4 | 0x2000 | 0x40000
"""Flags of FFmpeg's scaler: bicubic, chroma at full resolution, accurate rounding."""
WHITE = 65283
"""The largest value of limited 10-bit colours that FFmpeg's scaler converted to 16 bits."""


def matrix_of(frame: Any) -> int:
    """The matrix of a frame, by ITU-T H.273: as stated, or else by the number of lines."""
    if frame.colorspace in MATRICES:
        return MATRICES[frame.colorspace]
    return BT709 if frame.height >= HIGH_DEFINITION else BT601


def _range_of(frame: Any) -> int:
    if frame.color_range in (LIMITED, FULL):
        return int(frame.color_range)
    return FULL if frame.format.is_rgb or frame.format.name.startswith("yuvj") else LIMITED


class Converter:
    """Converts decoded frames to RGB. Warns once if 8 bits do not hold what a frame has.

    Args:
        path: the file, for the warning
        width: width of the results; frames of another size, which a stream may have, are scaled
        height: height of the results
    """

    def __init__(self, path: Path, width: int, height: int) -> None:
        self._scaler = import_extra("av.video.reformatter", "video", "Converting colours").VideoReformatter()
        self._path, self._size, self._warned = path, {"width": width, "height": height}, False

    def __call__(self, frame: Any) -> Array:
        """The colours ``(H, W, 3)`` of a frame, uint8, as a display of sRGB shows them."""
        transfer = hdr.TRANSFERS.get(frame.color_trc)
        if not self._warned:
            self._warn(frame, transfer)
        if transfer is None:
            return self._rgb(frame, "rgb24")
        return hdr.to_sdr(self._rgb(frame, "rgb48le") / np.float32(WHITE), transfer)

    def _rgb(self, frame: Any, format_: str) -> Array:
        colors: Array = self._scaler.reformat(
            frame,
            format=format_,
            src_colorspace=matrix_of(frame),
            src_color_range=_range_of(frame),
            dst_color_range=FULL,
            interpolation=EXACT,
            **self._size,
        ).to_ndarray()
        return colors

    def _warn(self, frame: Any, transfer: str | None) -> None:
        self._warned = True
        bits = max(component.bits for component in frame.format.components)
        if transfer:
            warn(
                f"{self._path} is an HDR video ({transfer}, {bits} bits). It is reduced to the range of an ordinary display, "
                "with 8 bits per channel."
            )
        elif bits > 8:
            warn(f"{self._path} has {bits} bits per channel. It is processed and written with 8.")


def to_yuv(colors: Array, matrix: int) -> Any:
    """A frame for an encoder, ``yuv420p`` in limited range, of RGB ``(H, W, 3)``, uint8, with even sides."""
    av = import_extra("av", "video", "Writing a video")
    frame = av.VideoFrame.from_ndarray(colors, "rgb24").reformat(
        format="yuv420p",
        src_color_range=FULL,
        dst_colorspace=matrix,
        dst_color_range=LIMITED,
        interpolation=EXACT,
    )
    frame.colorspace, frame.color_range = matrix, LIMITED
    frame.color_primaries, frame.color_trc = PRIMARIES[matrix], BT709
    return frame


PRIMARIES = {BT709: BT709, BT601: 6}
"""The primaries that are stated for each matrix that is written; the curve is that of BT.709 for both."""


def even(colors: Array) -> Array:
    """The colours with even sides, which ``yuv420p`` needs: an odd side gets a copy of its last row or column."""
    height, width = colors.shape[:2]
    return np.pad(colors, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
