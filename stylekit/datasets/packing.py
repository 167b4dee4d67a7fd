"""Writes the images of a folder into shards. Does not import torch."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

from stylekit._files import atomic_file, explain_os_errors
from stylekit.datasets.files import existing_folder, find_images
from stylekit.datasets.members import byte_size
from stylekit.datasets.shards import scan, write_index
from stylekit.errors import StylekitError


@dataclass(frozen=True)
class Packed:
    """The shards of one folder.

    Attributes:
        folder: the folder of the images
        shards: the tar files with them, in order
        images: number of images
        bytes: bytes of the shards
    """

    folder: Path
    shards: list[Path]
    images: int
    bytes: int


def pack(folder: Path, out: Path, count: int = 1000, limit: int | None = None) -> Iterator[Packed]:
    """Writes the images of a folder into shards; a subfolder with images becomes a subfolder with shards.

    So sides, splits and classes stay what they are, and so do pairs, whose images have equal names. Files are copied to the
    byte, in the order of their names, and nothing else enters the shards, so the same images give the same bytes. Next to
    each shard is its index.

    Args:
        folder: the folder
        out: a new or empty folder for the shards
        count: images in each shard; the last one of a folder has fewer
        limit: bytes of the images in a shard, unless a single one has more; None: any number

    Raises:
        StylekitError: the folder has no images, the other is not empty or inside it, or a file cannot be read or written.
    """
    files = find_images(existing_folder(folder))
    if not files:
        raise StylekitError(f"There are no images in {folder}.")
    with explain_os_errors(out):
        if out.resolve() == folder.resolve() or folder.resolve() in out.resolve().parents:
            raise StylekitError(f"{out} is inside {folder}. Write the shards to another folder.")
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise StylekitError(f"The folder {out} is not empty. Give a new or an empty folder.")
    # Files of a folder and of its subfolders may alternate in the order of their names.
    for source, images in groupby(
        sorted(files, key=lambda file: (file.parent.parts, file.name)), lambda file: file.parent
    ):
        shards, number, size = list[Path](), 0, 0
        for batch in _batches(images, count, limit):
            shard = out / source.relative_to(folder) / f"{len(shards):05}.tar"
            with explain_os_errors(shard):
                shard.parent.mkdir(parents=True, exist_ok=True)
            _write(shard, batch)
            shards.append(shard)
            number, size = number + len(batch), size + byte_size(shard)
        yield Packed(source, shards, number, size)


def pattern(shards: Sequence[Path]) -> str:
    """The text that names some shards of one folder, such as ``shards/{00000..00012}.tar``."""
    first, last = shards[0], shards[-1]
    return str(first if first == last else first.with_name(f"{{{first.stem}..{last.stem}}}.tar"))


def _batches(files: Iterable[Path], count: int, limit: int | None) -> Iterator[list[Path]]:
    batch: list[Path] = []
    size = 0
    for file in files:
        own = byte_size(file)
        if batch and (len(batch) == count or (limit is not None and size + own > limit)):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += own
    if batch:
        yield batch


def _write(shard: Path, files: Sequence[Path]) -> None:
    with atomic_file(shard) as out, tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for file in files:
            with explain_os_errors(file, "read"), file.open("rb") as content:
                _add(tar, file, content)
    write_index(shard, scan(shard))


def _add(tar: tarfile.TarFile, file: Path, content: BinaryIO) -> None:
    """Adds a file without its dates, owner and permissions, on which the bytes of the shard must not depend."""
    facts = tarfile.TarInfo(file.name)
    facts.size = file.stat().st_size
    tar.addfile(facts, content)
