"""Writes image files that Pillow cannot write."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from tests.image_files import chunk, srgb_profile

Pixels = np.ndarray[Any, np.dtype[Any]]
COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""PNG's number for each number of channels."""


def png(pixels: Pixels, before: bytes = b"", after: bytes = b"", size: tuple[int, int] | None = None) -> bytes:
    """A PNG file of 8 or 16 bits.

    Args:
        pixels: ``(H, W, C)``, uint8 or uint16
        before: chunks between the header and the pixels
        after: chunks after the pixels
        size: width and height that the header claims
    """
    height, width, channels = pixels.shape
    depth = 8 * pixels.itemsize
    header = struct.pack(">IIBBBBB", *(size or (width, height)), depth, COLOR_TYPES[channels], 0, 0, 0)
    rows = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
    length = width * channels * pixels.itemsize
    filtered = b"".join(b"\0" + rows[start : start + length] for start in range(0, len(rows), length))
    parts = (chunk(b"IHDR", header), before, chunk(b"IDAT", zlib.compress(filtered)), after, chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def flat_png(width: int, height: int) -> bytes:
    """A valid black PNG file of any size, without taking the memory."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    packer, row, data = zlib.compressobj(9), bytes(1 + 3 * width), []
    for _ in range(height):
        data.append(packer.compress(row))
    data.append(packer.flush())
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"".join(data)) + chunk(b"IEND", b"")


def tiff(pixels: Pixels, order: str = "<", **tags: Any) -> bytes:
    """An uncompressed TIFF file of 8 or 16 bits from ``(H, W, C)``; ``tags`` replace numbers by tag, as ``t256=9``."""
    height, width, channels = pixels.shape
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    photometric = 1 if channels == 1 else 2
    entries: list[tuple[int, int, list[int]]] = [
        (256, 4, [width]),
        (257, 4, [height]),
        (258, 3, [8 * pixels.itemsize] * channels),
        (259, 3, [1]),
        (262, 3, [photometric]),
        (273, 4, [0]),
        (277, 3, [channels]),
        (278, 4, [height]),
        (279, 4, [len(data)]),
        *([(338, 3, [2])] if channels == 4 else []),
    ]
    start = 8 + 2 + 12 * len(entries) + 4
    extra = b""
    body = struct.pack(order + "H", len(entries))
    for tag, kind, values in entries:
        values = [tags.get(f"t{tag}", value) for value in values]
        if tag == 273 and "t273" not in tags:
            values = [start + 2 * channels]
        code = order + {3: "H", 4: "I"}[kind] * len(values)
        packed = struct.pack(code, *(value & (0xFFFF if kind == 3 else 0xFFFFFFFF) for value in values))
        if len(packed) > 4:
            packed, extra = struct.pack(order + "I", start + len(extra)), extra + packed
        body += struct.pack(order + "HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return head + body + struct.pack(order + "I", 0) + extra.ljust(2 * channels, b"\0") + data


def exif(orientation: int = 1, make: bytes = b"Camera\0", thumbnail: bytes = b"") -> bytes:
    """EXIF metadata, with a thumbnail if there is one."""
    after_first = 8 + 2 + 2 * 12 + 4
    after_second = after_first + len(make) + (2 + 3 * 12 + 4 if thumbnail else 0)
    first = struct.pack("<H", 2)
    first += struct.pack("<HHII", 271, 2, len(make), after_first)
    first += struct.pack("<HHIHH", 274, 3, 1, orientation, 0)
    first += struct.pack("<I", after_first + len(make) if thumbnail else 0)
    second = struct.pack("<H", 3)
    second += struct.pack("<HHIHH", 259, 3, 1, 6, 0)
    second += struct.pack("<HHII", 513, 4, 1, after_second)
    second += struct.pack("<HHII", 514, 4, 1, len(thumbnail))
    second += struct.pack("<I", 0)
    tail = second + thumbnail if thumbnail else b""
    return b"Exif\0\0" + b"II*\0" + struct.pack("<I", 8) + first + make + tail


def jpeg_of(color: tuple[int, int, int], size: int = 32) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (size, size), color).save(file, "JPEG")
    return file.getvalue()


def swapped_profile() -> bytes:
    """sRGB with red and green swapped, which nobody can take for sRGB."""
    return srgb_profile().replace(b"rXYZ", b"tXYZ").replace(b"gXYZ", b"rXYZ").replace(b"tXYZ", b"gXYZ")


def profile(space: bytes = b"GRAY", gamma: float = 1.8, kind: bytes = b"mntr") -> bytes:
    """A profile of grey, or one that claims another colour space but lacks what it would need."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    white = b"XYZ " + bytes(4) + struct.pack(">iii", 0xF6D6, 0x10000, 0xD32D)
    text = b"desc" + bytes(4) + struct.pack(">I", 5) + b"fuzz\0" + bytes(78)
    contents = {b"desc": text, b"wtpt": white, b"kTRC": curve, b"cprt": b"text" + bytes(4) + b"none\0"}
    start, table, body = 128 + 4 + 12 * len(contents), b"", b""
    for name, content in contents.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    size = start + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02400000, kind, space, b"XYZ ") + bytes(12) + b"acsp"
    head = head.ljust(68, b"\0") + struct.pack(">iii", 0xF6D6, 0x10000, 0xD32D)
    return head.ljust(128, b"\0") + struct.pack(">I", len(contents)) + table + body


def gif(frames: list[Image.Image], **options: Any) -> bytes:
    return animated(frames, "GIF", **options)


def animated(frames: list[Image.Image], name: str, **options: Any) -> bytes:
    """An animation in a format of Pillow."""
    file = io.BytesIO()
    frames[0].save(file, name, save_all=True, append_images=frames[1:], **options)
    return file.getvalue()
