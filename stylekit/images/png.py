"""Writing PNG files of 8 or 16 bits, band by band. Pillow writes only 8 bits, and needs the whole image."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np
from PIL import Image

from stylekit.datasets.png_text import SIGNATURE, chunks, write_chunk
from stylekit.images.metadata import save_options
from stylekit.images.picture import Metadata
from stylekit.images.pixels import Array

UP = 2
"""The number of PNG's filter that stores differences from the row above."""


def encode_png(values: Array, metadata: Metadata) -> bytes:
    """A PNG file with the values ``(H, W, 3 or 4)``, uint8 or uint16."""
    file = io.BytesIO()
    write_png(file, values.shape, [values], metadata)
    return file.getvalue()


def write_png(file: BinaryIO, shape: tuple[int, ...], bands: Iterable[Array], metadata: Metadata) -> None:
    """Writes a PNG file: one that Pillow writes, with other pixels.

    Args:
        file: the file
        shape: ``(H, W, 3 or 4)``
        bands: all rows of the image, ``(h, W, 3 or 4)`` each, uint8 or uint16
        metadata: what to say about the image
    """
    height, width, channels = shape
    small = io.BytesIO()
    Image.new("RGB" if channels == 3 else "RGBA", (1, 1)).save(small, "PNG", **save_options(metadata, "PNG"))
    bands = iter(bands)
    first = next(bands)
    header = struct.pack(">IIBBBBB", width, height, 8 * first.itemsize, 2 if channels == 3 else 6, 0, 0, 0)
    small.seek(len(SIGNATURE))
    file.write(SIGNATURE)
    for kind, length in chunks(small):
        if kind == b"IDAT":
            for content in _compressed(first, bands):
                write_chunk(file, kind, content)
        else:
            write_chunk(file, kind, header if kind == b"IHDR" else small.read(length))


def _compressed(first: Array, others: Iterator[Array]) -> Iterator[bytes]:
    """The compressed rows, in pieces."""
    compressor, above = zlib.compressobj(4), np.zeros((1, 1), np.uint8)
    for band in itertools.chain([first], others):
        rows = np.ascontiguousarray(band.astype(f">u{band.itemsize}")).view(np.uint8).reshape(len(band), -1)
        before = np.concatenate([np.broadcast_to(above, (1, rows.shape[1])), rows[:-1]])
        filtered = np.concatenate([np.full((len(rows), 1), UP, np.uint8), rows - before], 1)
        above = rows[-1:]
        if content := compressor.compress(filtered.tobytes()):
            yield content
    yield compressor.flush()
