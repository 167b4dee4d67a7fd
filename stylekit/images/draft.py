"""An image of floats that is made part by part: in memory, or in a file from which another process can go on."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from stylekit._files import explain_os_errors

if TYPE_CHECKING:
    from torch import Tensor

HEAD = 4096
"""Bytes in front of the values: how many parts are made, and with which settings."""


@dataclass
class Draft:
    """An image that is not finished.

    Attributes:
        values: the image ``(1, C, H, W)``, float32 on the CPU
        done: number of its parts that are made
    """

    values: Tensor
    done: int = 0

    def finish_part(self) -> None:
        """Counts one more part as made."""
        self.done += 1


class FileDraft(Draft):
    """An image that is not finished, whose values are in a file, so that the memory does not grow with it.

    Args:
        path: the file
        shape: channels, height and width
        key: what the parts depend on
        resume: keep the parts that another draft with this key has made

    Raises:
        StylekitError: no space is left, or the folder cannot be written.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int], key: str, resume: bool) -> None:
        import torch

        self.path, self._key = path, repr((key, shape))
        done = read_head(path, self._key).get("done", 0) if resume else 0
        with explain_os_errors(path), path.open("r+b" if done else "w+b") as file:
            if hasattr(os, "posix_fallocate"):
                size = HEAD + 4 * int(np.prod(shape))
                os.posix_fallocate(file.fileno(), 0, size)  # a full disk would kill the process later
            self._map = np.memmap(file, np.float32, "r+", HEAD, (1, *shape))
            super().__init__(torch.from_numpy(self._map), done)
            self._write_head(file)

    def finish_part(self) -> None:
        """Counts one more part as made, also for a process that goes on with the file."""
        super().finish_part()
        self._map.flush()
        with explain_os_errors(self.path), self.path.open("r+b") as file:
            self._write_head(file)

    def _write_head(self, file: BinaryIO) -> None:
        file.seek(0)
        file.write(head(self._key, done=self.done))


def head(key: str, **counts: int) -> bytes:
    """What stands in front of the values of a file that is made part by part: ``HEAD`` bytes."""
    return json.dumps({"key": key, **counts}).encode().ljust(HEAD, b"\0")


def read_head(path: Path, key: str) -> dict[str, int]:
    """The counts in front of the values of a file; empty if it has another key, or if there is no such file."""
    try:
        with path.open("rb") as file:
            counts = json.loads(file.read(HEAD).rstrip(b"\0"))
        return {name: int(count) for name, count in counts.items()} if counts.pop("key") == key else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
