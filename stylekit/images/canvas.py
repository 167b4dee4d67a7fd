"""A large image while it is made: its values are in a file next to the target, so that the memory does not grow with it."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stylekit._files import atomic_file, explain_os_errors
from stylekit.errors import NO_SPACE, StylekitError
from stylekit.images.draft import HEAD, FileDraft, head, read_head
from stylekit.images.metadata import save_options
from stylekit.images.picture import Picture
from stylekit.images.pixels import Array
from stylekit.images.png import write_png
from stylekit.images.tiff import write_tiff
from stylekit.images.writing import OPAQUE, fitted, to_channels, to_palette, write_format, written_depth

BAND = 256
"""Rows that are encoded at once."""
MODES = {3: "RGB", 4: "RGBA"}


class Canvas:
    """The values of an image that is made part by part, and then written.

    If the process is killed, the file stays, and another canvas can go on with it.

    Args:
        target: the image file to write at the end
        size: height and width of the image
        like: a part of the picture that is stylised: it has its depth, alpha channel and metadata
        depth: bits per channel; None: those of the picture, if the format holds them
        quality: quality of a lossy format, from 1 to 100
        key: what the parts depend on
        resume: keep the parts that another canvas with this key has made

    Attributes:
        done: number of parts that have been made
        drafts: what was drafted on the way

    Raises:
        StylekitError: the format does not hold such an image, the folder cannot be written, or no space is left.
    """

    def __init__(
        self,
        target: Path,
        size: tuple[int, int],
        like: Picture,
        *,
        depth: int | None = None,
        quality: int | None = None,
        key: str = "",
        resume: bool = False,
    ) -> None:
        self.target = target
        self.format, self._options = write_format(target, quality)
        self._depth = written_depth(target, self.format, depth, like.depth)
        self._metadata = fitted(like, self.format).metadata
        channels = 3 if like.alpha is None or self.format in OPAQUE else 4
        self.shape: tuple[int, int, int] = (*size, channels)
        self._type = np.dtype(np.uint8 if self._depth == 8 else np.uint16)
        self._row = size[1] * channels * self._type.itemsize
        self._key = hashlib.sha256(repr((key, self.shape, self._depth)).encode()).hexdigest()
        self.path = part_path(target)
        self._resume, self.drafts = resume, list[FileDraft]()
        before = read_head(self.path, self._key) if resume else {}
        self.done, self._plan = before.get("done", 0), before.get("plan", 0)
        with explain_os_errors(target):
            self._file = self.path.open("r+b" if self.done else "w+b")
            try:
                self._reserve()
            except BaseException:
                self.discard()
                raise

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.shape[0], self.shape[1]

    @property
    def plan(self) -> int:
        """A number on which the division into parts depends, and which the next canvas gets with them; 0: none yet."""
        return self._plan

    @plan.setter
    def plan(self, plan: int) -> None:
        self._plan = plan
        self._write_head()

    @property
    def begun(self) -> bool:
        """Whether something is made that another canvas can go on with."""
        return self.done > 0 or any(draft.done for draft in self.drafts)

    def put(self, top: int, left: int, picture: Picture) -> None:
        """Writes the next part, whose first row and column are ``top`` and ``left``.

        Raises:
            StylekitError: no space is left.
        """
        values = to_channels(fitted(picture, self.format), self._depth)
        start = HEAD + left * self.shape[2] * self._type.itemsize
        with explain_os_errors(self.target):
            for number, row in enumerate(np.ascontiguousarray(values), top):
                self._write(start + number * self._row, row.tobytes())
            self.done += 1
            self._write_head()

    def draft(self, name: str, height: int, width: int) -> FileDraft:
        """An image of three channels that is made on the way, in a file next to the target.

        Args:
            name: its name among the drafts of this canvas, which is part of that of the file
            height: its height
            width: its width

        Raises:
            StylekitError: no space is left.
        """
        path = self.path.with_suffix(f".{name}.draft")
        self.drafts.append(FileDraft(path, (3, height, width), f"{self._key} {self.plan}", self._resume))
        return self.drafts[-1]

    def save(self) -> None:
        """Writes the image file atomically, and removes the canvas.

        Raises:
            StylekitError: no space is left, or the format does not support the image's size.
        """
        try:
            with atomic_file(self.target) as file:
                self._encode(file)
        except (ValueError, struct.error) as error:
            raise StylekitError(f"{self.target} cannot be written as {self.format}: {error}.") from error
        self.discard()

    def discard(self) -> None:
        """Removes the canvas."""
        self.close()
        self.path.unlink(missing_ok=True)
        for draft in self.path.parent.glob(f"{self.path.stem}.*.draft"):
            draft.unlink()

    def close(self) -> None:
        """Closes the canvas, but keeps what was made."""
        self._file.close()

    def _encode(self, file: Any) -> None:
        if self.format == "PNG":
            write_png(file, self.shape, self._bands(), self._metadata)
        elif self.format == "TIFF":
            write_tiff(file, self.shape, self._type.itemsize, self._bands(), BAND, self._metadata)
        else:
            height, width, channels = self.shape
            values = np.memmap(self.path, self._type, "r", HEAD, self.shape)
            image = Image.frombuffer(MODES[channels], (width, height), values, "raw", MODES[channels], 0, 1)
            image = to_palette(image) if self.format == "GIF" else image
            try:
                image.save(file, self.format, **self._options, **save_options(self._metadata, self.format))
            except OSError as error:
                if error.errno in NO_SPACE:
                    raise
                raise ValueError(error) from error  # such as a JPEG file with too many rows

    def _bands(self) -> Iterator[Array]:
        height, width, channels = self.shape
        for top in range(0, height, BAND):
            rows = min(BAND, height - top)
            values = np.fromfile(self.path, self._type, rows * width * channels, offset=HEAD + top * self._row)
            yield values.reshape(rows, width, channels)

    def _reserve(self) -> None:
        size = HEAD + self.shape[0] * self._row
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._file.fileno(), 0, size)  # so that a full disk is noticed before the work
        else:
            self._file.truncate(size)
        self._write_head()

    def _write_head(self) -> None:
        self._write(0, head(self._key, done=self.done, plan=self.plan))
        self._file.flush()

    def _write(self, start: int, content: bytes) -> None:
        self._file.seek(start)
        self._file.write(content)


def part_path(target: Path) -> Path:
    """Where the canvas of a target is: with a name that does not depend on the process, so that it is found again."""
    return target.with_name(f".stylekit-{hashlib.sha256(target.name.encode()).hexdigest()[:16]}.part")
