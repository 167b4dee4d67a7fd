"""Claims the folder of a run: a new or an empty one, or that of a stopped run. Only one process at a time trains in it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import stat
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from stylekit._files import explain_os_errors, real_path
from stylekit.errors import StylekitError, warn
from stylekit.training.runs import Run

LOCK = ".lock"
"""The file that the operating system locks while a run trains. It is unlocked when the process ends, however it ends."""
HOLDER = re.compile(rb"(process \d+ on [^\n]{,255})?")
"""The content of that file."""
NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
"""The errors of file systems without locks."""


@contextlib.contextmanager
def new_folder(out: Path | None, name: str) -> Iterator[Path]:
    """Makes and locks the folder of a new run; it is removed again if no run begins within the block.

    Args:
        out: the folder, which does not exist or is empty apart from hidden files; None: a new one in ``runs``
        name: name of the folder in ``runs``, to which a number is added if it is taken

    Raises:
        StylekitError: the folder contains something, another process trains in it, or it cannot be made.
    """
    if out:
        Run(out).require_new()
    runs = Path("runs").absolute()
    wanted = out or runs
    missing = [folder for folder in (wanted, *wanted.parents) if not os.path.lexists(folder)]
    with contextlib.ExitStack() as held:
        with explain_os_errors(wanted):
            wanted.mkdir(parents=True, exist_ok=True)
            for folder in reversed(missing):
                held.callback(_remove_if_empty, folder)
            if out is None:
                wanted = next(_free(runs, name))
                held.callback(_remove_if_empty, wanted)
        held.enter_context(locked(wanted))
        Run(wanted).require_new()  # another process may have trained here before the lock
        yield wanted


def _free(parent: Path, name: str) -> Iterator[Path]:
    """Makes a folder that did not exist: ``parent/name``, with a number if needed."""
    for number in count(1):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            yield folder


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Locks a run's folder within the block.

    Raises:
        StylekitError: another process, or another thread of this one, trains in the folder; it cannot be written; or its
            ``.lock`` is not one of stylekit's.
    """
    file = folder / LOCK
    _require_own(file)
    lock, holder = FileLock(file), _holder(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise StylekitError(
            f"Another training run uses {folder}{holder}. Wait until it has ended, or give another folder with --out."
        ) from None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in NO_LOCKS:
            with explain_os_errors(file):
                raise
        warn(f"The file system of {folder} has no locks, so nothing prevents a second training run in this folder.")
    with contextlib.suppress(OSError):  # only for the message above
        file.write_text(f"process {os.getpid()} on {socket.gethostname()}")
    try:
        yield
    finally:
        lock.release()
        if not Run(folder).exists():
            file.unlink(missing_ok=True)


def _require_own(file: Path) -> None:
    """Checks that a lock file, if there is one, is stylekit's: it will be overwritten, and removed if no run begins."""
    with explain_os_errors(file, "read"), contextlib.suppress(FileNotFoundError, NotADirectoryError):
        status = file.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise StylekitError(
                f"{file} cannot be locked: it is a link, a folder, a pipe or a device, or has another name too. Move it "
                "elsewhere, or give another folder with --out."
            )
        with contextlib.suppress(PermissionError), file.open("rb") as content:  # Windows: another process has locked it
            if not HOLDER.fullmatch(content.read(1000)):
                raise StylekitError(
                    f"{file} was not written by stylekit, which locks a file of this name while a run trains. Yours could "
                    "be lost, so move it elsewhere, or give another folder with --out."
                )


def _holder(file: Path) -> str:
    try:
        text = file.read_text()[:200]
    except (OSError, ValueError):
        return ""
    return f" ({text})" if text else ""


def require_outside(out: Path, data: Any) -> None:
    """Checks that a run's folder is not inside a folder of images that it trains on, nor reached by a link from there.

    Args:
        out: the run's folder, which need not exist
        data: options with paths

    Raises:
        StylekitError: it is inside.
    """
    own = {str(real_path(folder)) for folder in (out, *out.parents)}
    for folder in _folders(data):
        if _reaches(folder, own):
            raise StylekitError(
                f"The run's folder {out} is inside {folder}, from which the run reads its images: it would train on its own "
                "samples. Give a folder elsewhere with --out."
            )


def _folders(options: Any) -> Iterator[str]:
    """The folders that are named in options."""
    if isinstance(options, str | Path) and os.path.isdir(options):
        yield str(options)
    elif isinstance(options, Mapping | list | tuple):
        for option in options.values() if isinstance(options, Mapping) else options:
            yield from _folders(option)


def _reaches(folder: str, places: set[str]) -> bool:
    """Whether a search for images in a folder, which follows links, visits one of the places."""
    seen: set[str] = set()
    for root, folders, _ in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in places:
            return True
        folders[:] = [name for name in folders if not name.startswith(".")] if real not in seen else []
        seen.add(real)
    return False
