"""Writing files and folders atomically, and absolute paths."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from stylekit.errors import NO_SPACE, StylekitError

LEFTOVER = re.compile(r"\.stylekit-[0-9a-f]{16}\.part")
"""The names of incomplete files and folders. They do not contain the final name, which may be as long as allowed."""
SHOWN = 300
"""Characters of a path that are shown if the system refuses it because it is too long."""
JSON_LIMIT = 32 * 2**20
"""Bytes of the largest JSON file to read: as Python objects, it may take twenty times the memory."""


def _temporary(path: Path) -> Path:
    """A name for incomplete content next to a path."""
    return path.with_name(f".stylekit-{secrets.token_hex(8)}.part")


def write_atomic(path: Path, content: bytes | str) -> None:
    """Writes a file atomically: even after a crash, readers see either the old content or the new content.

    Raises:
        StylekitError: no space is left, or the file cannot be written.
    """
    with atomic_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Yields a temporary file to write to. At the end it replaces ``path``.

    Raises:
        StylekitError: no space is left, or the file cannot be written.
    """
    temporary = _temporary(path)
    with explain_os_errors(path):
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder to fill with :func:`write_atomic`. At the end it replaces ``path``.

    Raises:
        StylekitError: no space is left, or the folder cannot be written.
    """
    temporary = _temporary(path)
    with explain_os_errors(path):
        try:
            temporary.mkdir(parents=True)
            yield temporary
            remove(path)
            temporary.replace(path)
            _sync_folder(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def remove(folder: Path) -> None:
    """Removes a folder atomically, so that it is never seen half removed."""
    if folder.exists():
        renamed = folder.rename(_temporary(folder))
        shutil.rmtree(renamed, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Removes the incomplete files and folders that a killed process of stylekit left directly in a folder."""
    if not folder.is_dir():
        return
    for leftover in folder.iterdir():
        if not LEFTOVER.fullmatch(leftover.name):
            continue
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def is_file(path: Path) -> bool:
    """Whether there is a file of that name.

    Raises:
        StylekitError: the system refuses the name, such as a long one.
    """
    with explain_os_errors(path, "read"):
        return path.is_file()


def path_exists(path: Path) -> bool:
    """Whether there is a file or a folder at a path.

    Raises:
        StylekitError: the operating system refuses the path, because it is too long, for example.
    """
    with explain_os_errors(path, "used"), contextlib.suppress(FileNotFoundError, NotADirectoryError):
        path.stat()
        return True
    return False


def require_regular(path: Path) -> None:
    """Checks that a path that exists is a file: a pipe would never end, nor would a device.

    Raises:
        StylekitError: it is something else, or cannot be read.
    """
    with explain_os_errors(path, "read"):
        if not stat.S_ISREG(path.stat().st_mode):
            raise StylekitError(f"{path} is damaged: it is not a file.")


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        StylekitError: the file cannot be read, is too large, is not JSON, or is nested too deeply.
    """
    require_regular(path)
    with explain_os_errors(path, "read"), path.open("rb") as file:
        content = file.read(JSON_LIMIT + 1)
    if len(content) > JSON_LIMIT:
        raise StylekitError(f"{path} is damaged: it is larger than {JSON_LIMIT // 2**20} MiB.")
    try:
        return json.loads(content)
    except RecursionError:
        raise StylekitError(f"{path} is damaged: it is nested too deeply.") from None
    except ValueError as error:
        raise StylekitError(f"{path} is damaged: it is not valid JSON ({error}).") from None


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def explain_os_errors(path: Path, action: str = "written") -> Iterator[None]:
    """Turns an ``OSError`` within the block into an error that names ``path``, which cannot be ``action``.

    Raises:
        StylekitError: no space is left, or the file or folder cannot be used.
    """
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE:
            raise StylekitError(f"There is no space left to write {path}. Existing files are unchanged.") from error
        shown = f"{str(path)[:SHOWN]}..." if error.errno == errno.ENAMETOOLONG else path
        raise StylekitError(f"{shown} cannot be {action}: {error.strerror or error}.") from error
    except ValueError as error:  # Python's own check of paths
        if isinstance(error, UnicodeEncodeError):
            raise StylekitError(f"{str(path)!r} cannot be {action}: the system cannot encode its name.") from error
        if "\0" not in str(path):
            raise
        raise StylekitError(f"{str(path)!r} cannot be {action}: its name contains a NUL.") from error


def absolute_path(path: str | Path) -> Path:
    """The absolute path, with ``..`` and ``~`` resolved, so that a folder always has the same name in a run's settings."""
    return Path(os.path.abspath(Path(path).expanduser()))


def real_path(path: str | Path) -> Path:
    """The absolute path without symbolic links, to tell whether two paths are one file. Unlike ``Path.resolve``, which raises
    a RuntimeError, it leaves a loop of links as it is; opening that raises an OSError.

    Raises:
        StylekitError: the name contains a NUL.
    """
    with explain_os_errors(Path(path), "used"):
        return Path(os.path.realpath(path))
