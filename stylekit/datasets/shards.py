"""Shards: images in uncompressed tar files, found by an index of their offsets. Does not import torch."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

from stylekit._files import absolute_path, explain_os_errors, path_exists, read_json, write_atomic
from stylekit.datasets.files import existing_folder, find_images, is_image
from stylekit.datasets.members import AnyFile, Member, Shard
from stylekit.datasets.remote import fetched, is_address
from stylekit.errors import StylekitError

INDEX = ".index"
"""What is added to the name of a shard for that of its index."""
WINDOW = 8192
"""Images among which the order is random. A window has whole shards, of which it has at least one."""
MOST = 1_000_000
"""Shards in a range."""
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
END = tarfile.NUL * 2 * tarfile.BLOCKSIZE

Entry = tuple[str, int, int]
"""Name, offset and size of a file in a shard."""


def is_shards(source: Path | str) -> bool:
    """Whether a source names shards, as ``shards/{000..099}.tar`` does, rather than a folder."""
    return str(source).endswith(".tar") and not os.path.isdir(source)


def absolute_source(source: Path | str) -> Path | str:
    """The absolute path of a folder or of shards; addresses stay as they are."""
    return source if is_address(source) else absolute_path(source)


def image_files(source: Path | str) -> list[AnyFile]:
    """The images of a folder or of shards, in an order that is the same on every machine.

    A folder that has no images by themselves, but tar files, is a folder of shards.

    Args:
        source: a folder, a tar file, or several: ``{000..099}`` stands for the numbers from 000 to 099. Tar files may be at
            addresses, such as ``s3://bucket/{000..099}.tar``.

    Raises:
        StylekitError: there is no such folder or shard, or a shard is damaged.
    """
    if is_shards(source):
        return [member for shard in _named(str(source)) for member in _members(shard)]
    if is_address(source):
        raise StylekitError(f"{source} is not a tar file. Name the shards there: {source}/{{000..099}}.tar")
    folder = existing_folder(source)
    images: list[AnyFile] = [*find_images(folder)]
    return images or [member for shard in _within(folder) for member in _members(shard)]


def shuffled(files: Sequence[AnyFile], permute: Callable[[int], list[int]]) -> list[int]:
    """A random order of images, in which those of one shard are close to each other.

    The shards are put into a random order, and then the images of each window of them. Files by themselves are one window.

    Args:
        files: the images; those of a shard follow each other
        permute: gives a random order of the numbers below a number
    """
    groups = [
        [index for index, _ in group]
        for _, group in groupby(enumerate(files), lambda each: each[1].shard if isinstance(each[1], Member) else None)
    ]
    if len(groups) < 2:
        return permute(len(files))
    order: list[int] = []
    for window in _windows([groups[number] for number in permute(len(groups))]):
        order += [window[number] for number in permute(len(window))]
    return order


def _windows(groups: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    window: list[int] = []
    for group in groups:
        window += group
        if len(window) >= WINDOW:
            yield window
            window = []
    if window:
        yield window


def write_index(shard: Path, entries: Sequence[Entry]) -> None:
    """Writes the index of a shard next to it.

    Raises:
        StylekitError: it cannot be written.
    """
    write_atomic(_index_file(shard), json.dumps({"bytes": shard.stat().st_size, "members": entries}) + "\n")


def _index_file(shard: Path) -> Path:
    return shard.with_name(shard.name + INDEX)


def _named(pattern: str) -> list[Shard]:
    """The shards of a pattern. They must exist; those at addresses are looked for when they are opened."""
    base = pattern[: pattern.rfind("/", 0, (pattern + "{").index("{")) + 1]
    names = list(_expanded(pattern))
    missing = [name for name in names if not is_address(name) and not path_exists(Path(name))]
    if missing:
        more = f", and {len(missing) - 1} more of the {len(names)} shards are missing" if len(missing) > 1 else ""
        raise StylekitError(f"There is no shard {missing[0]}{more}.")
    return [Shard(name if is_address(name) else Path(name), name[len(base) :]) for name in names]


def _expanded(pattern: str) -> Iterator[str]:
    match = RANGE.search(pattern)
    if not match:
        yield pattern
        return
    first, last = match.groups()
    if not 0 <= int(last) - int(first) < MOST:
        raise StylekitError(f"{match[0]} in {pattern} must count upwards, to at most {MOST:,} shards.")
    for number in range(int(first), int(last) + 1):
        yield from _expanded(f"{pattern[: match.start()]}{number:0{len(first)}}{pattern[match.end() :]}")


def _within(folder: Path) -> list[Shard]:
    paths = sorted((path.relative_to(folder) for path in folder.rglob("*.tar")), key=lambda path: path.parts)
    visible = [path for path in paths if not any(part.startswith(".") for part in path.parts)]
    return [Shard(folder / path, path.as_posix()) for path in visible if (folder / path).is_file()]


def _members(shard: Shard) -> list[Member]:
    """The images in a shard, in the order of its index."""
    entries = _remote_index(shard.place) if isinstance(shard.place, str) else _local_index(shard.place)
    images = {name: (offset, size) for name, offset, size in entries if is_image(PurePosixPath(name).name)}
    return [Member(shard, name, *place) for name, place in images.items()]


def _remote_index(address: str) -> list[Entry]:
    """The index next to a shard at an address, or if there is none, that of the fetched shard."""
    try:
        entries = _stored(fetched(address + INDEX))
    except StylekitError:  # the shard is fetched, and its own failure reported
        entries = None
    return _local_index(fetched(address)) if entries is None else entries


def _local_index(path: Path) -> list[Entry]:
    """The index next to a shard if it is not older; otherwise, the shard is read, and the index is kept if it can be."""
    with explain_os_errors(path, "read"):
        facts = path.stat()
        with contextlib.suppress(FileNotFoundError, StylekitError):
            if _index_file(path).stat().st_mtime_ns >= facts.st_mtime_ns:
                entries = _stored(_index_file(path), facts.st_size)
                if entries is not None:
                    return entries
    entries = scan(path)
    with contextlib.suppress(StylekitError):  # the folder may be read-only
        write_index(path, entries)
    return entries


def _stored(path: Path, size: int | None = None) -> list[Entry] | None:
    """The entries of an index; None if it is damaged, or that of a shard of another size."""
    content: Any = read_json(path)
    try:
        total = int(content["bytes"])
        entries = [(str(name), int(offset), int(length)) for name, offset, length in content["members"]]
    except (KeyError, TypeError, ValueError):
        return None
    inside = all(offset >= 0 and length >= 0 and offset + length <= total for _, offset, length in entries)
    return entries if inside and size in (None, total) else None


def scan(path: Path) -> list[Entry]:
    """The regular files in a tar file, by their headers.

    Raises:
        StylekitError: it is not a tar file, is compressed, or was not written to its end.
    """
    try:
        with explain_os_errors(path, "read"), path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            entries = [(each.name, each.offset_data, each.size) for each in tar if each.isreg() and not each.issparse()]
            file.seek(tar.offset)
            complete = file.read(len(END)) == END
    except tarfile.TarError as error:
        raise StylekitError(
            f"{path} is not a tar file, is compressed, or is incomplete ({error}). Write it again, uncompressed."
        ) from None
    if not complete:
        last = f" after {entries[-1][0]!r}" if entries else ""
        raise StylekitError(f"{path} is damaged or incomplete{last}: the mark of its end is missing. Write it again.")
    return entries
