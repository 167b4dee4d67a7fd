"""The folder next to an output that holds what is finished of it, and the settings that it was begun with."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from stylekit._files import explain_os_errors, read_json, remove, remove_leftovers, write_atomic
from stylekit.errors import StylekitError

JOURNAL = "settings.json"
"""The file with the settings."""
SUFFIX = ".part"


def part_folder(out: Path) -> Path:
    """The folder for what is finished of an output."""
    return out.with_name(out.name + SUFFIX)


def check_part(out: Path, resume: bool, overwrite: bool, resumable: bool = True) -> None:
    """Checks that nothing unfinished would be lost.

    Args:
        out: the output
        resume: the user wants to go on with what there is
        overwrite: the user wants to replace it
        resumable: whether the clip can go on at all

    Raises:
        StylekitError: there is something, and the user says neither whether to go on with it nor whether to replace it.
    """
    part = part_folder(out)
    begun = part.joinpath(JOURNAL).exists()
    foreign = (
        part.exists() and not begun and not (part.is_dir() and all(path.name[0] == "." for path in part.iterdir()))
    )
    if foreign:
        raise StylekitError(
            f"{part} is in the way: stylekit did not make it. Move it elsewhere, or give another --out."
        )
    if begun and not (resume or overwrite):
        ways = "--resume to go on with the settings of that run, or --overwrite" if resumable else "--overwrite"
        raise StylekitError(f"{part} holds what an earlier run finished of {out}. Add {ways} to start again.")


@contextlib.contextmanager
def claimed(out: Path, settings: Mapping[str, Any], resume: bool) -> Iterator[Path]:
    """Makes and locks the folder of an output within the block, and empties it unless the output is resumed.

    Args:
        out: the output
        settings: everything that the frames depend on, as JSON
        resume: go on with what is there

    Raises:
        StylekitError: another process uses it, it was begun with other settings, or it cannot be written.
    """
    part = part_folder(out)
    with explain_os_errors(part), contextlib.ExitStack() as held:
        part.mkdir(parents=True, exist_ok=True)
        lock = FileLock(part / ".lock")
        try:
            held.enter_context(lock.acquire(timeout=0))
        except Timeout:
            raise StylekitError(
                f"Another process writes {out}. Wait until it has ended, or give another --out."
            ) from None
        begun = resume and (part / JOURNAL).exists()
        if begun:
            _require_same(part, settings)
            remove_leftovers(part)
        else:
            for path in part.iterdir():
                if path.is_dir():
                    remove(path)
                elif path.name != ".lock":
                    path.unlink()
            write_atomic(part / JOURNAL, json.dumps(settings, indent=1))
        yield part


def _require_same(part: Path, settings: Mapping[str, Any]) -> None:
    before, now = read_json(part / JOURNAL), json.loads(json.dumps(settings))
    if not isinstance(before, dict):
        raise StylekitError(f"{part / JOURNAL} is damaged. Start again with --overwrite.")
    for key, value in now.items():
        if before.get(key) != value:
            raise StylekitError(
                f"{part} cannot be resumed with other settings: {key} was {before.get(key)!r}, now {value!r}. Give the "
                "same, or start again with --overwrite."
            )


def discard(part: Path) -> None:
    """Removes the folder."""
    shutil.rmtree(part, ignore_errors=True)
