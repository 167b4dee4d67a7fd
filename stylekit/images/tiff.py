"""Writing TIFF files of one or several pages of 8 or 16 bits, compressed without loss.

Pillow writes only 8 bits, and no EXIF with compression.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from PIL.TiffTags import BYTE, UNDEFINED

from stylekit.images.picture import Metadata
from stylekit.images.pixels import Array

HEADER = b"II*\0" + struct.pack("<I", 8)
LARGEST = 2**32 - 2**20
"""Bytes of a TIFF file, whose offsets have 32 bits."""
XMP, PROFILE = 700, 34675


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
        directory = _directory(values, len(pixels), metadata)
        content = bytearray(directory.tobytes(start))
        padding = bytes(len(pixels) % 2)  # directories begin at even offsets
        start += len(content) + len(pixels) + len(padding)
        if number < len(pages):
            struct.pack_into("<I", content, 2 + 12 * len(directory), start)  # the next directory, behind the entries
        parts += [bytes(content), pixels, padding]
    return b"".join(parts)


def _directory(values: Array, length: int, metadata: Metadata) -> ImageFileDirectory_v2:
    """The directory of a page whose compressed pixels follow it."""
    height, width, channels = values.shape
    directory = ImageFileDirectory_v2(HEADER)
    _add_metadata(directory, metadata)
    for tag, value in {
        256: width,
        257: height,
        258: (values.itemsize * 8,) * channels,
        259: 8,  # deflate
        262: 2,  # RGB
        273: 0,  # where the pixels are: after the directory
        277: channels,
        278: height,
        279: length,
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
