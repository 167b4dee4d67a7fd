"""The chunks of PNG files, and files with long texts, which Pillow refuses because they may expand to gigabytes."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PILLOW_LIMIT = 2**20
"""Bytes of a compressed text or profile that Pillow accepts, PngImagePlugin.MAX_TEXT_CHUNK."""
BUDGET = 2**24
"""Bytes that all texts and the profile may have together. The rest is dropped."""
COMPRESSED = (b"zTXt", b"iTXt", b"iCCP")
"""Kinds of chunks that may be compressed."""


def readable(file: BinaryIO) -> tuple[BinaryIO, bytes | None]:
    """An image file as Pillow accepts it: the file itself, unless it is a PNG file with long texts, which is copied with
    these texts uncompressed. A long colour profile is taken out and returned.
    """
    if file.read(8) == SIGNATURE and _is_long(file):
        file.seek(8)
        return _rewritten(file)
    file.seek(0)
    return file, None


def chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """The kind and the length of each chunk. The file is at the start of its content, and may be left anywhere."""
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        start = file.tell()
        yield kind, length
        file.seek(start + length + 4)


def _is_long(file: BinaryIO) -> bool:
    """Whether Pillow may refuse the file: deflate expands up to 1032 times."""
    total = 0
    for kind, length in chunks(file):
        total += length if kind in COMPRESSED or kind == b"tEXt" else 0
        if (kind in COMPRESSED and length * 1032 > PILLOW_LIMIT) or total > BUDGET:
            return True
    return False


def _rewritten(file: BinaryIO) -> tuple[BinaryIO, bytes | None]:
    copy, budget, profile = io.BytesIO(), BUDGET, None
    copy.write(SIGNATURE)
    for kind, length in chunks(file):
        if kind not in (*COMPRESSED, b"tEXt"):
            write_chunk(copy, kind, file.read(length))
            continue
        expanded = _expanded(kind, file.read(length), budget) if length <= budget else None
        if expanded is None:
            budget = 0  # many such texts would take long
            continue
        kind, content, size = expanded
        budget -= size
        if kind == b"iCCP" and size > PILLOW_LIMIT:
            profile = _inflated(content.partition(b"\0")[2][1:], BUDGET)
        else:
            write_chunk(copy, kind, content)
    copy.seek(0)
    return copy, profile


def write_chunk(file: BinaryIO, kind: bytes, content: bytes) -> None:
    """Writes a chunk with its checksum."""
    file.write(struct.pack(">I4s", len(content), kind) + content)
    file.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(kind))))


def _expanded(kind: bytes, content: bytes, budget: int) -> tuple[bytes, bytes, int] | None:
    """The kind and content of a chunk whose text is uncompressed, and its size. A profile stays compressed. None if it is
    damaged or larger than the budget."""
    name, _, rest = content.partition(b"\0")
    if kind == b"tEXt" or (kind == b"iTXt" and rest[:1] == b"\0"):
        return kind, content, len(content)
    prefix, text = b"", rest[1:]
    if kind == b"iTXt":
        language, _, remaining = rest[2:].partition(b"\0")
        keyword, _, text = remaining.partition(b"\0")
        prefix = b"\0\0" + language + b"\0" + keyword + b"\0"
    data = _inflated(text, budget)
    if data is None:
        return None
    if kind == b"iCCP":
        return kind, content, len(data)
    return b"iTXt" if kind == b"iTXt" else b"tEXt", name + b"\0" + prefix + data, len(data)


def _inflated(data: bytes, budget: int) -> bytes | None:
    try:
        result = zlib.decompressobj().decompress(data, budget + 1)
    except zlib.error:
        return None
    return result if len(result) <= budget else None
