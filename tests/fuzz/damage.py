"""Damages bytes as disks, networks and hostile people do."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable, Mapping
from pathlib import Path


def truncated(data: bytes, draw: random.Random) -> bytes:
    """The beginning of the data."""
    return data[: draw.randrange(len(data))]


def flipped(data: bytes, draw: random.Random) -> bytes:
    """A few bits are others."""
    result = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 8, 64))):
        result[draw.randrange(len(result))] ^= 1 << draw.randrange(8)
    return bytes(result)


def flipped_early(data: bytes, draw: random.Random) -> bytes:
    """A few bits near the beginning, where headers are, are others."""
    early = min(len(data), 256)
    return flipped(data[:early], draw) + data[early:]


def zeroed(data: bytes, draw: random.Random) -> bytes:
    """A block of zeros, as a crash of the system leaves behind."""
    start = draw.randrange(len(data))
    length = min(draw.choice((1, 16, 512, 4096)), len(data) - start)
    return data[:start] + bytes(length) + data[start + length :]


def noisy(data: bytes, draw: random.Random) -> bytes:
    """A block of noise."""
    start = draw.randrange(len(data))
    length = min(draw.choice((4, 64, 1024)), len(data) - start)
    return data[:start] + draw.randbytes(length) + data[start + length :]


def removed(data: bytes, draw: random.Random) -> bytes:
    """A piece from the middle is missing."""
    start = draw.randrange(len(data))
    return data[:start] + data[start + draw.randint(1, 200) :]


def repeated(data: bytes, draw: random.Random) -> bytes:
    """A piece comes twice."""
    start = draw.randrange(len(data))
    end = start + draw.randint(1, 400)
    return data[:end] + data[start:end] + data[end:]


def appended(data: bytes, draw: random.Random) -> bytes:
    """Something follows the end."""
    return data + draw.choice((b"\0" * 4096, data, draw.randbytes(1000), b"<?php system('id'); ?>"))


def extreme(data: bytes, draw: random.Random) -> bytes:
    """A number somewhere early has an extreme value."""
    start = draw.randrange(min(len(data), 512))
    number = draw.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFF, 65536))
    packed = struct.pack(draw.choice("<>") + ("I" if number > 0xFFFF else "H"), number)
    return data[:start] + packed + data[start + len(packed) :]


DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    truncated,
    flipped,
    flipped_early,
    zeroed,
    noisy,
    removed,
    repeated,
    appended,
    extreme,
)


def damaged(data: bytes, draw: random.Random) -> bytes:
    """The data with one kind of damage, or with two."""
    for _ in range(draw.choice((1, 1, 1, 2))):
        data = draw.choice(DAMAGES)(data, draw) or b"\0"
    return data


def spliced(first: bytes, second: bytes, draw: random.Random) -> bytes:
    """The beginning of one file and the end of another."""
    return first[: draw.randrange(len(first))] + second[draw.randrange(len(second)) :]


def place(path: Path, form: str, contents: Mapping[str, bytes]) -> None:
    """Puts at a path a ``pipe``, a ``loop`` of links, a ``folder``, an endless file (``zero``), nothing (``missing``), or a
    file with the content of that name."""
    if form == "pipe":
        os.mkfifo(path)
    elif form == "folder":
        path.mkdir()
    elif form in ("loop", "zero"):
        path.symlink_to(path.name if form == "loop" else "/dev/zero")
    elif form != "missing":
        path.write_bytes(contents[form])
