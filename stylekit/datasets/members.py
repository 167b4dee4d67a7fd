"""Files within shards, which are uncompressed tar files, here or at an address. Does not import torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from stylekit._files import explain_os_errors
from stylekit.datasets import remote
from stylekit.errors import StylekitError


@dataclass(frozen=True)
class Shard:
    """A tar file with images.

    Attributes:
        place: its path, or its address as text
        label: its path within the data set, which stays the same if the data set moves
    """

    place: Path | str
    label: str


@dataclass(frozen=True, slots=True)
class Member:
    """A file within a shard.

    Attributes:
        shard: the shard
        name: its name within the shard
        offset: where its content begins, in bytes
        size: bytes of its content
    """

    shard: Shard
    name: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.shard.place}/{self.name}"

    @property
    def suffix(self) -> str:
        """The suffix of its name."""
        return PurePosixPath(self.name).suffix

    @property
    def path(self) -> PurePosixPath:
        """Its path within the data set, as if the shards beside each other were one folder."""
        return PurePosixPath(self.shard.label).parent / self.name

    @property
    def parent(self) -> PurePosixPath:
        """The folder of ``path``."""
        return self.path.parent

    def read_bytes(self) -> bytes:
        """Its content.

        Raises:
            StylekitError: the shard cannot be opened, or is shorter than its index says.
        """
        with explain_os_errors(Path(self.shard.place), "read"), remote.opened(self.shard.place) as file:
            file.seek(self.offset)
            content = file.read(self.size)
        if len(content) < self.size:
            raise StylekitError(f"{self} cannot be read: the shard ends before it. Write or fetch the shard again.")
        return content


AnyFile = Path | Member
"""A file by itself, or in a shard."""


def byte_size(file: AnyFile) -> int:
    """The bytes of a file.

    Raises:
        StylekitError: it does not exist.
    """
    if isinstance(file, Member):
        return file.size
    path = Path(file)  # a plugin may give text
    with explain_os_errors(path, "read"):
        return path.stat().st_size
