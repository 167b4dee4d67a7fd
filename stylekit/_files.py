"""Writing files and folders atomically, and absolute paths."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from stylekit.errors import StylekitError

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_atomic(path: Path, content: bytes | str) -> None:
    """Writes a file atomically: even after a crash, readers see either the old content or the new content.

    Raises:
        StylekitError: no space is left, or the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    data = content.encode() if isinstance(content, str) else content
    with explain_os_errors(path):
        try:
            with temporary.open("wb") as file:
                file.write(data)
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
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
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
        renamed = folder.rename(folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part"))
        shutil.rmtree(renamed, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Removes the incomplete files and folders that a killed process left directly in a folder."""
    for leftover in folder.glob(".*.part"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def explain_os_errors(path: Path) -> Iterator[None]:
    """Turns an ``OSError`` within the block into an error that names ``path``.

    Raises:
        StylekitError: no space is left, or the file or folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE:
            raise StylekitError(f"There is no space left to write {path}. Existing files are unchanged.") from error
        raise StylekitError(f"{path} cannot be written: {error.strerror or error}.") from error


def absolute_path(path: str | Path) -> Path:
    """The absolute path, with ``..`` and ``~`` resolved, so that a folder always has the same name in a run's settings."""
    return Path(os.path.abspath(Path(path).expanduser()))
