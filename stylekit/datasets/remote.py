"""A bounded cache of files at addresses such as ``s3://bucket/000.tar``, fetched with fsspec, which is imported late."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

from stylekit._files import atomic_file, explain_os_errors
from stylekit.errors import StylekitError, one_line_error

LIMIT = 20
"""GiB of fetched files that are kept, unless ``STYLEKIT_SHARDS_GIB`` says another number."""
TRIES = 3
"""How often a file is fetched that another process removes before it is opened."""


def is_address(place: Path | str) -> bool:
    """Whether a place is an address rather than a path."""
    return isinstance(place, str) and "://" in place


def opened(place: Path | str) -> BinaryIO:
    """Opens a local file, or the cached copy of one at an address.

    Raises:
        OSError: it cannot be opened.
        StylekitError: it cannot be fetched.
    """
    if not is_address(place):
        return open(place, "rb")
    for _ in range(TRIES):
        with contextlib.suppress(FileNotFoundError):  # another process has just made room in the cache
            return fetched(str(place)).open("rb")
    raise StylekitError(
        f"{place} is removed from the cache before it is read: the cache is too small for the processes that share it. "
        f"Raise its limit of {_limit() / 2**30:g} GiB with STYLEKIT_SHARDS_GIB."
    )


def fetched(address: str) -> Path:
    """The local copy of a file at an address; copies that were not used for the longest time are removed to make room.

    Raises:
        StylekitError: it cannot be fetched.
    """
    folder = cache_folder()
    path = folder / f"{hashlib.sha256(address.encode()).hexdigest()[:32]}{Path(address).suffix}"
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            with FileLock(path.with_suffix(".lock")):
                if not path.exists():
                    _fetch(address, path)
                    _make_room(folder, path)
        with contextlib.suppress(FileNotFoundError):
            os.utime(path)
    return path


def cache_folder() -> Path:
    """The folder of fetched files: ``STYLEKIT_SHARDS``, or ``stylekit/shards`` in the user's cache folder."""
    if chosen := os.environ.get("STYLEKIT_SHARDS"):
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "stylekit" / "shards"


def _limit() -> float:
    value = os.environ.get("STYLEKIT_SHARDS_GIB") or LIMIT
    try:
        return float(value) * 2**30
    except ValueError:
        raise StylekitError(f"STYLEKIT_SHARDS_GIB must be a number of GiB, not {value!r}.") from None


def _fetch(address: str, path: Path) -> None:
    import fsspec

    try:
        # fsspec's file systems belong to the process that made them, so each file gets its own.
        with fsspec.open(address, "rb", skip_instance_cache=True) as source, atomic_file(path) as copy:
            shutil.copyfileobj(source, copy, 2**20)
    except StylekitError:
        raise
    except ImportError as error:
        raise StylekitError(
            f"{address} needs a package that is not installed ({error}). Run `pip install 'stylekit-torch[stream]'`."
        ) from error
    except Exception as error:  # each file system raises its own types
        reason = "it does not exist" if isinstance(error, FileNotFoundError) else one_line_error(error)
        raise StylekitError(f"{address} cannot be fetched: {reason}.") from error


def _make_room(folder: Path, new: Path) -> None:
    """Removes the copies that were not used for the longest time, apart from a new one, until the others fit."""
    limit, kept = _limit(), []
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if path.suffix != ".lock" and not path.name.startswith("."):
                facts = path.stat()
                kept.append((facts.st_mtime_ns, facts.st_size, path))
    total = sum(size for _, size, _ in kept)
    for _, size, path in sorted(kept):
        if total > limit and path != new:
            path.unlink(missing_ok=True)
            total -= size
