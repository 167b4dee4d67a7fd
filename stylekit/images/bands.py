"""Large TIFF files, of which only the strips or tiles that are needed are decoded, so that memory does not grow with them."""

from __future__ import annotations

import importlib.util
import logging
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import ImageFile, TiffImagePlugin

from stylekit.datasets import AnyFile
from stylekit.datasets.files import orientation, upright_size
from stylekit.errors import StylekitError
from stylekit.images import pixels
from stylekit.images.recent import Recent

INSTALL_RASTERS = "pip install 'stylekit-torch[rasters]'"
LAYOUT = re.compile(r"(I|LA|LX?|RGBA?X*)(;16[BLN]?)?")
"""Pillow's names of how the values of a pixel are stored: grey or RGB, perhaps alpha (A), what is ignored (X), and 16 bits.
Others are not read in bands: palettes, CMYK, LAB, alpha that colours are multiplied by, and floats."""
CACHE = 2**26
"""Bytes of decoded strips and tiles that are kept, because neighbouring parts of an image need the same; none may have more."""
VIRTUAL = 2**20
"""Bytes that are read at once of a file that is not compressed."""
JPEG, YCBCR = 7, 6
"""Values of the tags of the compression, and of what colours are."""
NO_LOG = logging.NullHandler()


@dataclass(frozen=True, eq=False)
class Segments:
    """The strips or tiles of an image, row by row.

    Attributes:
        path: the file
        shape: height, width and channels of the image, as it is stored
        dtype: type of the values, uint8 or uint16
        side: height and width of each; the last in a row or column may have less
        places: the first byte of each in the file, and the number of bytes
        decode: the values ``(h, w, C)`` of a segment, given its bytes and its number
        recent: those that were decoded last
    """

    path: Path
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    side: tuple[int, int]
    places: Sequence[tuple[int, int]]
    decode: Callable[[bytes, int], pixels.Array]
    recent: Recent[pixels.Array]

    def read(self, rows: range, columns: range) -> pixels.Array:
        """The values ``(h, w, C)`` of a part of the image.

        Raises:
            StylekitError: the file is damaged.
        """
        (height, width), across = self.side, -(-self.shape[1] // self.side[1])
        values = np.empty((len(rows), len(columns), self.shape[2]), self.dtype)
        for top in range(rows.start // height * height, rows.stop, height):
            for left in range(columns.start // width * width, columns.stop, width):
                number = top // height * across + left // width
                down, right = _common(rows, top, height), _common(columns, left, width)
                part = self._segment(number)[_within(down, top), _within(right, left)]
                values[_within(down, rows.start), _within(right, columns.start)] = part
        return values

    def require_complete(self) -> None:
        """Checks that the file contains all segments.

        Raises:
            StylekitError: it is truncated.
        """
        size = self.path.stat().st_size
        if missing := sum(start + count > size for start, count in self.places):
            raise _unreadable(
                self.path,
                f"it is truncated; {missing} of the {len(self.places)} parts of its image are beyond its end",
            )

    def decodable(self) -> bool:
        """Whether the first and the last can be decoded; the last may be longer than the image, which only Pillow tolerates."""
        try:
            return all(len(self._segment(number)) for number in (0, len(self.places) - 1))
        except StylekitError:
            return False

    def _segment(self, number: int) -> pixels.Array:
        def decoded() -> pixels.Array:
            start, count = self.places[number]
            try:
                with self.path.open("rb") as file:
                    file.seek(start)
                    values = self.decode(file.read(count), number)
                return values.astype(self.dtype, copy=False)
            except Exception as error:  # decoders raise many types
                raise _unreadable(self.path, f"it is damaged ({error})") from error

        return self.recent.get(number, decoded)


@dataclass(frozen=True, eq=False)
class Bands:
    """Some channels of an image, upright. Like an array, but its values are read when it is sliced.

    Attributes:
        segments: the image
        channels: which are taken, or a single one
        turn: its EXIF orientation
    """

    segments: Segments
    channels: Sequence[int] | int
    turn: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values."""
        return self.segments.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width, and 3 for colours."""
        height, width = self.segments.shape[:2]
        size = (width, height) if pixels.turn(self.turn)[0] else (height, width)
        return size if isinstance(self.channels, int) else (*size, len(self.channels))

    def __getitem__(self, part: tuple[slice, slice]) -> pixels.Array:
        swapped, down, right = pixels.turn(self.turn)
        rows, columns = _stored(part[0], self.shape[0], down), _stored(part[1], self.shape[1], right)
        values = self.segments.read(*((columns, rows) if swapped else (rows, columns)))
        return pixels.upright(values[..., self.channels], self.turn)


def readable(path: AnyFile | str, file: ImageFile.ImageFile) -> tuple[Bands, Bands | None] | None:
    """The colours ``(H, W, 3)`` and the alpha channel ``(H, W)`` of an open TIFF file; None if it cannot be read in bands.

    Args:
        path: the file
        file: the same file, open but not loaded

    Raises:
        StylekitError: the file is truncated.
    """
    layout = _layout(file)
    if layout is None or not isinstance(path, str | Path) or not installed():
        return None
    segments, turn = _segments(Path(path)), orientation(file)
    if segments is None:
        return None
    colors, alpha = Bands(segments, layout.colors, turn), Bands(segments, layout.alpha, turn) if layout.alpha else None
    last = layout.alpha or layout.colors[-1]
    if (segments.dtype, colors.shape[1::-1]) != (layout.dtype, upright_size(file)) or segments.shape[2] <= last:
        return None  # it is damaged
    segments.require_complete()
    return (colors, alpha) if segments.decodable() else None


def installed() -> bool:
    """Whether the package that reads TIFF files in bands is there."""
    return importlib.util.find_spec("tifffile") is not None


class _Layout(NamedTuple):
    """Where the colours and the alpha channel of a pixel are among its values, and the type of these."""

    colors: Sequence[int]
    alpha: int
    dtype: Any


def _layout(file: ImageFile.ImageFile) -> _Layout | None:
    """What the values of a pixel are, if the file is one that may be read in bands."""
    if not isinstance(file, TiffImagePlugin.TiffImageFile) or not file.tile:
        return None
    arguments: Any = file.tile[0][3]
    match = LAYOUT.fullmatch(arguments if isinstance(arguments, str) else str(arguments[0]))
    if match is None:
        return None
    colors = [0, 0, 0] if match[1][0] in "IL" else [0, 1, 2]
    return _Layout(colors, colors[-1] + 1 if "A" in match[1] else 0, np.uint16 if match[2] else np.uint8)


def _segments(path: Path) -> Segments | None:
    """The segments of the first page, which is the largest level of a pyramid; None if they cannot be decoded one by one."""
    import tifffile

    tifffile.logger().addHandler(NO_LOG)  # what is wrong with the file is said once, in an error
    try:
        with tifffile.TiffFile(path) as opened:
            return _of_page(path, opened.pages.first, opened.byteorder)
    except Exception:  # of many types; Pillow decides about the file
        return None


def _of_page(path: Path, page: Any, order: str) -> Segments | None:
    planes, depth, height, width, channels = page.shaped
    dtype = page.dtype.newbyteorder("=")
    if (planes, depth) != (1, 1) or dtype not in (np.uint8, np.uint16) or page.fillorder != 1:
        return None
    if page.photometric == YCBCR and page.compression != JPEG:
        return None
    row = width * channels * dtype.itemsize
    if page.is_final:
        side, count = (max(1, VIRTUAL // row), width), row * max(1, VIRTUAL // row)
        end = page.dataoffsets[0] + row * height
        places = [(start, min(count, end - start)) for start in range(page.dataoffsets[0], end, count)]
        stored = page.dtype.newbyteorder(order)

        def decode(content: bytes, number: int) -> pixels.Array:
            return np.frombuffer(content, stored).reshape(-1, width, channels)
    else:
        side = (page.tilelength, page.tilewidth) if page.is_tiled else (min(page.rowsperstrip, height), width)
        places = [*zip(page.dataoffsets, page.databytecounts, strict=True)]
        tables = {"jpegtables": page.jpegtables} if page.compression == JPEG else {}
        decoder = page.decode

        def decode(content: bytes, number: int) -> pixels.Array:
            values: pixels.Array = decoder(content, number, **tables)[0][0]
            return values

    if len(places) != math.prod(-(-length // each) for length, each in zip((height, width), side, strict=True)):
        return None
    if math.prod(side) * channels * dtype.itemsize > CACHE:
        return None
    recent = Recent[pixels.Array](CACHE, lambda values: values.nbytes)
    return Segments(path, (height, width, channels), dtype, side, places, decode, recent)


def _common(wanted: range, start: int, length: int) -> range:
    """What is wanted of a segment that begins at ``start``."""
    return range(max(wanted.start, start), min(wanted.stop, start + length))


def _within(part: range, start: int) -> slice:
    """The same part, counted from ``start``."""
    return slice(part.start - start, part.stop - start)


def _stored(wanted: slice, length: int, direction: int) -> range:
    """Where the wanted rows or columns are stored, in an image that is turned upright."""
    start, stop, _ = wanted.indices(length)
    return range(start, max(start, stop)) if direction == 1 else range(length - max(start, stop), length - start)


def _unreadable(path: Path, reason: str) -> StylekitError:
    return StylekitError(f"{path} cannot be read: {reason}.")
