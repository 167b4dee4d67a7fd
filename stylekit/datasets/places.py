"""Files wherever fsspec reaches them: in folders of this machine, and in object stores such as ``s3://``."""

from __future__ import annotations

import contextlib
import posixpath
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from stylekit._files import LEFTOVER, absolute_path, write_atomic
from stylekit.datasets.remote import is_address
from stylekit.errors import StylekitError, one_line_error

PUT = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "memory"}
"""Protocols of stores where a new object is seen whole or not at all, so that no temporary name is needed."""


def address(path: str) -> str:
    """A path that means the same in every process: a URL as it is, and a path of this machine absolute.

    Raises:
        StylekitError: the URL ends after its protocol.
    """
    if not is_address(path):
        return str(absolute_path(path))
    _require_place(path)
    return path.rstrip("/")


def _require_place(url: str) -> None:
    """Checks that a URL names more than a protocol: the rest of the program would see a folder such as ``s3:``."""
    protocol, _, place = url.partition("://")
    if not place.strip("/"):
        raise StylekitError(f"{url} names no place. Give an address such as {protocol}://bucket/folder.")


class Place:
    """A folder or a file, by its URL or its path.

    Args:
        path: from :func:`address`

    Raises:
        StylekitError: it names only a protocol, nothing is known of that, or a package is missing.
    """

    def __init__(self, path: str) -> None:
        if is_address(path):
            _require_place(path)
        self.path = path
        from fsspec.core import url_to_fs

        with _explained(path):
            self._files, self._root = url_to_fs(path)
        protocol = self._files.protocol
        self.protocols = {protocol} if isinstance(protocol, str) else {*protocol}

    @property
    def local(self) -> bool:
        """Whether it is on this machine."""
        return "file" in self.protocols

    def is_file(self) -> bool:
        """Whether there is a file of that name, and not a folder."""
        with _explained(self.path):
            return bool(self._files.isfile(self._root))

    def find(self, below: str = "") -> dict[str, int]:
        """The names of all files, relative to the place, and their sizes in bytes; none if there is no such folder.

        Args:
            below: only those in this folder of the place

        Raises:
            StylekitError: the place cannot be reached.
        """
        folder = posixpath.join(self._root, below) if below else self._root
        with _explained(self.path):
            self._files.invalidate_cache()
            found: Mapping[str, Mapping[str, Any]] = self._files.find(folder, detail=True)
        return {posixpath.relpath(name, self._root): int(facts["size"] or 0) for name, facts in found.items()}

    def read(self, name: str = "") -> bytes:
        """The content of a file.

        Raises:
            StylekitError: it cannot be read.
        """
        with _explained(self._shown(name)):
            content: bytes = self._files.cat_file(self._full(name))
            return content

    def write(self, name: str, content: bytes) -> None:
        """Writes a file atomically: others see the old content or the new one.

        Raises:
            StylekitError: it cannot be written.
        """
        full = self._full(name)
        if self.local:
            path = Path(full)
            with _explained(self._shown(name)):
                path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, content)
            return
        with _explained(self._shown(name)):
            if self.protocols & PUT:
                self._files.pipe_file(full, content)
                return
            temporary = posixpath.join(posixpath.dirname(full), f".stylekit-{secrets.token_hex(8)}.part")
            self._files.makedirs(posixpath.dirname(full), exist_ok=True)
            self._files.pipe_file(temporary, content)
            self._files.mv(temporary, full)

    def remove(self, names: Iterable[str]) -> None:
        """Removes files; those that are gone already are no error.

        Raises:
            StylekitError: one cannot be removed.
        """
        for name in names:
            with _explained(self._shown(name)), contextlib.suppress(FileNotFoundError):
                self._files.rm_file(self._full(name))

    def _full(self, name: str) -> str:
        return posixpath.join(self._root, name) if name else self._root

    def _shown(self, name: str) -> str:
        return posixpath.join(self.path, name) if name else self.path


def is_leftover(name: str) -> bool:
    """Whether a file is what a killed process left of an incomplete one."""
    return LEFTOVER.fullmatch(posixpath.basename(name)) is not None


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    """Turns the errors of file systems, which have many types, into one sentence."""
    try:
        yield
    except StylekitError:
        raise
    except FileNotFoundError as error:
        why = f": {error}" if error.errno is None and " " in str(error) else ""
        raise StylekitError(f"{path} does not exist{why.rstrip('.')}.") from error
    except ImportError as error:
        raise StylekitError(f"{path} needs a package that is not installed: {error}. Install it with pip.") from error
    except ValueError as error:
        raise StylekitError(f"{path} is no address that fsspec can use: {str(error).rstrip('.')}.") from error
    except Exception as error:  # file systems raise many types
        raise StylekitError(f"{path} cannot be used: {one_line_error(error)[:300].rstrip('.')}.") from error
