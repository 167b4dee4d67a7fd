"""Copies of runs at addresses such as ``s3://bucket/runs/mine``: a run trains in a folder of its own machine, and all that it
has written is copied with each checkpoint, so that it can go on elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import pydantic
from filelock import FileLock

from stylekit._files import explain_os_errors, write_atomic
from stylekit.datasets.places import Place, is_leftover
from stylekit.errors import StylekitError
from stylekit.training.checkpoint import saved_steps
from stylekit.training.run_json import RunContent, first_problem, read_run

RUN, STATE, CHECKPOINTS = "run.json", "state.json", "checkpoints"


class RunCopy:
    """The copy of a run at an address.

    Whenever writing stops, the copy contains a whole checkpoint: the state of one is written after its weights and removed
    before them, and ``run.json`` is last of all.

    Args:
        address: a folder wherever fsspec reaches it

    Raises:
        StylekitError: it is no address, or a package is missing.
    """

    def __init__(self, address: str) -> None:
        self._place = Place(address)
        self._sent: dict[str, tuple[int, int]] = {}

    def require_new(self) -> None:
        """Checks that a new run can be copied to the address.

        Raises:
            StylekitError: there is a run already, or the address cannot be reached.
        """
        if RUN in self._place.find():
            raise StylekitError(
                f"{self._place.path} already contains a run. Resume it with --resume and --out FOLDER, to which it is fetched, "
                "or give another address with --copy-to."
            )

    def push(self, folder: Path) -> None:
        """Copies the files of a run that have changed since the last call, and removes old checkpoints.

        Args:
            folder: the run's folder

        Raises:
            StylekitError: the address cannot be reached or written.
        """
        own = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if _belongs(path, folder)}
        for name in _in_order(own):
            with explain_os_errors(own[name], "read"):
                facts = own[name].stat()
                state = facts.st_mtime_ns, facts.st_size
                if self._sent.get(name) == state:
                    continue
                content = own[name].read_bytes()
            self._place.write(name, content)
            self._sent[name] = state
        stale = [name for name in self._place.find(CHECKPOINTS) if name not in own]
        self._place.remove(reversed(_in_order(stale)))

    def fetch(self, folder: Path) -> None:
        """Brings the run to a folder without one, or with an earlier state of the same run; otherwise, does nothing.

        Args:
            folder: the folder for the run

        Raises:
            StylekitError: the folder contains another run, the run at the address is damaged, or files cannot be fetched.
        """
        names = [name for name in self._place.find() if _is_safe(name)]
        if RUN not in names:
            return
        with explain_os_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        # Several processes of one machine may resume the run.
        with FileLock(folder / ".fetch.lock"):
            if self._later(folder, names):
                for name in _in_order(names):
                    with explain_os_errors(folder / name):
                        (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    write_atomic(folder / name, self._place.read(name))

    def _later(self, folder: Path, names: Iterable[str]) -> bool:
        """Whether the copy has a later checkpoint than the folder, or the folder has no run."""
        if not (folder / RUN).exists():
            return True
        ours, theirs = read_run(folder / RUN).id, self._id()
        if ours != theirs:
            raise StylekitError(
                f"{folder} contains another run than {self._place.path}. Give another folder with --out, or another address "
                "with --copy-to."
            )
        parts = (PurePosixPath(name).parts for name in names)
        steps = [
            int(each[1]) for each in parts if each[0] == CHECKPOINTS and each[2:] == (STATE,) and each[1].isdecimal()
        ]
        return max(steps, default=-1) > max(saved_steps(folder / CHECKPOINTS), default=-1)

    def _id(self) -> str:
        try:
            return RunContent.model_validate_json(self._place.read(RUN)).id
        except pydantic.ValidationError as error:
            raise StylekitError(f"{self._place.path}/{RUN} is damaged ({first_problem(error)}).") from None


def _belongs(path: Path, folder: Path) -> bool:
    """Whether a file belongs to the run: no link, nothing hidden, and nothing incomplete."""
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return path.is_file() and not path.is_symlink() and not hidden and not is_leftover(path.name)


def _is_safe(name: str) -> bool:
    """Whether the name of a file at the address is one below the folder."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and not any(part.startswith(".") for part in path.parts)


def _in_order(names: Iterable[str]) -> list[str]:
    """Weights of checkpoints, their states, all other files, and ``run.json``."""

    def place(name: str) -> tuple[bool, bool, bool, str]:
        path = PurePosixPath(name)
        return name == RUN, path.parts[0] != CHECKPOINTS, path.name == STATE, name

    return sorted(names, key=place)
