"""Files: written so that they are complete or not there at all, and named by absolute paths."""

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
    """Writes a file; a reader sees the old one or the new one, also after a crash.

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
    """Gives a temporary folder to fill with :func:`write_whole`, which becomes ``path`` at the end, replacing it.

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
    """Removes a folder so that it is gone at once, and never seen half removed."""
    if folder.exists():
        doomed = folder.rename(folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part"))
        shutil.rmtree(doomed, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Removes what a killed process left half written directly in a folder."""
    for leftover in folder.glob(".*.part"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # where a folder cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def explain_os_errors(path: Path) -> Iterator[None]:
    """Says of an operating system's error in the block what it means for ``path``.

    Raises:
        StylekitError: no space is left, or the file or folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE:
            raise StylekitError(f"There is no space left to write {path}. Nothing that was there is lost.") from error
        raise StylekitError(f"{path} cannot be written: {error.strerror or error}.") from error


def absolute_path(path: str | Path) -> Path:
    """The absolute path, without ``..`` and with the user's home for ``~``: one folder has one name in a run's settings."""
    return Path(os.path.abspath(Path(path).expanduser()))
