"""Writing TIFF files of one or several pages of 8 or 16 bits, compressed without loss.

Pillow writes only 8 bits, and no EXIF with compression.
"""

from __future__ import annotations

import itertools
import math
import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from PIL.TiffTags import BYTE, LONG, LONG8, UNDEFINED

from stylekit.images.picture import Metadata
from stylekit.images.pixels import Array

HEADER = b"II*\0" + struct.pack("<I", 8)
BIG_HEADER = b"II+\0" + struct.pack("<HHQ", 8, 0, 16)
LARGEST = 2**32 - 2**20
"""Bytes of a TIFF file, whose offsets have 32 bits."""
XMP, PROFILE = 700, 34675
STARTS, LENGTHS = 273, 279
"""Tags of where the strips of pixels begin, and of their lengths."""


def encode_tiff(pages: Sequence[tuple[Array, Metadata]]) -> bytes:
    """A TIFF file whose pages have the values ``(H, W, 3 or 4)``, uint8 or uint16, and each its own metadata.

    Raises:
        ValueError: it would be too large
    """
    parts, start = [HEADER], len(HEADER)
    for number, (values, metadata) in enumerate(pages, 1):
        pixels = _compressed(values)
        if start + len(pixels) > LARGEST:
            raise ValueError("it has more than 4 GiB")
        directory = _directory(values.shape, values.itemsize, metadata, HEADER, len(values), [len(pixels)])
        content = bytearray(directory.tobytes(start))
        padding = bytes(len(pixels) % 2)  # directories begin at even offsets
        start += len(content) + len(pixels) + len(padding)
        if number < len(pages):
            struct.pack_into("<I", content, 2 + 12 * len(directory), start)  # the next directory, behind the entries
        parts += [bytes(content), pixels, padding]
    return b"".join(parts)


def write_tiff(
    file: BinaryIO, shape: tuple[int, int, int], itemsize: int, bands: Iterable[Array], rows: int, metadata: Metadata
) -> None:
    """Writes a TIFF file of one page in strips; as a BigTIFF file if it could be too large for TIFF.

    Args:
        file: the file
        shape: ``(H, W, 3 or 4)``
        itemsize: bytes of each value, 1 or 2
        bands: all rows of the image, ``(rows, W, 3 or 4)`` each, uint8 or uint16; the last may have fewer
        rows: rows of each band
        metadata: what to say about the image

    Raises:
        ValueError: it would be too large for TIFF, and the installed Pillow writes no BigTIFF
    """
    header = BIG_HEADER if math.prod(shape) * itemsize > LARGEST else HEADER
    lengths = [0] * -(-shape[0] // rows)
    empty = _directory(shape, itemsize, metadata, header, rows, lengths).tobytes(len(header))
    if (
        header is BIG_HEADER and empty[:2] == b"\0\0"
    ):  # pragma: no cover: Pillow before 11.1 counts entries in two bytes
        raise ValueError("it has more than 4 GiB; a newer version of Pillow could write it")
    file.write(header + empty)
    for number, band in enumerate(bands):
        content = _compressed(band)
        file.write(content)
        lengths[number] = len(content)
    file.seek(len(header))
    file.write(_directory(shape, itemsize, metadata, header, rows, lengths).tobytes(len(header)))


def _directory(
    shape: tuple[int, ...], itemsize: int, metadata: Metadata, header: bytes, rows: int, lengths: Sequence[int]
) -> ImageFileDirectory_v2:
    """The directory of a page whose compressed strips of ``rows`` rows, of these lengths, follow it."""
    height, width, channels = shape
    directory = ImageFileDirectory_v2(header)
    _add_metadata(directory, metadata)
    directory.tagtype.update(dict.fromkeys((STARTS, LENGTHS), LONG8 if header is BIG_HEADER else LONG))
    for tag, value in {
        256: width,
        257: height,
        258: (itemsize * 8,) * channels,
        259: 8,  # deflate
        262: 2,  # RGB
        STARTS: tuple(itertools.accumulate(lengths[:-1], initial=0)),  # counted from the end of the directory
        277: channels,
        278: rows,
        LENGTHS: tuple(lengths),
        284: 1,
        317: 2,  # differences from the pixel to the left
        **({338: 2} if channels == 4 else {}),  # alpha that colours are not multiplied by
    }.items():
        directory[tag] = value
    return directory


def _compressed(values: Array) -> bytes:
    little = values.astype(values.dtype.newbyteorder("<"))
    return zlib.compress(np.concatenate([little[:, :1], little[:, 1:] - little[:, :-1]], 1).tobytes(), 4)


def _add_metadata(directory: ImageFileDirectory_v2, metadata: Metadata) -> None:
    exif = Image.Exif()
    exif.load(metadata.exif or b"")
    for tag, value in exif.items():
        nested = tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
        directory[tag] = dict(exif.get_ifd(tag)) if nested else value
    if metadata.dpi:
        directory[282], directory[283], directory[296] = *metadata.dpi, 2
    for tag, data, kind in ((XMP, metadata.xmp, BYTE), (PROFILE, metadata.icc_profile, UNDEFINED)):
        if data:
            directory.tagtype[tag] = kind
            directory[tag] = data
