"""A run's folder: its settings, its log, its pictures and its checkpoints."""

from __future__ import annotations

import json
import platform
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

import stylekit
from stylekit import images
from stylekit._files import explain_os_errors, remove_leftovers, write_atomic
from stylekit.errors import StylekitError
from stylekit.training import checkpoint
from stylekit.training.sample_grid import grid
from stylekit.training.settings import MAY_CHANGE, Settings, validate_settings

FORMAT = 2
"""The form of a run's folder. Runs of another form are not resumed; their models load all the same."""


class Run:
    """The folder ``runs/NAME`` of one training run.

    Args:
        folder: the folder
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkpoints = folder / "checkpoints"
        self.model = folder / "model.safetensors"
        self._settings, self._metrics = folder / "run.json", folder / "metrics.jsonl"
        self._log: IO[str] | None = None

    def require_new(self) -> None:
        """Refuses a folder that holds a run.

        Raises:
            StylekitError: it does.
        """
        if self._settings.exists():
            raise StylekitError(
                f"There is a run in {self.folder} already. Go on with it by --resume, or give another folder with --out."
            )

    def create(self, settings: Settings) -> None:
        """Makes the folder of a new run.

        Raises:
            StylekitError: it cannot be made.
        """
        with explain_os_errors(self.folder):
            (self.folder / "samples").mkdir(parents=True, exist_ok=True)
            self.checkpoints.mkdir(exist_ok=True)
        self._write({"format": FORMAT, "settings": settings.as_json(), "versions": _versions(), "sessions": []})

    @classmethod
    def open(cls, folder: Path) -> Run:
        """The run in a folder.

        Raises:
            StylekitError: there is none, or its ``run.json`` is damaged.
        """
        run = cls(folder)
        if not run._settings.is_file():
            raise StylekitError(f"There is no run in {folder} to go on with: it has no run.json.")
        run.settings()
        return run

    def clean(self) -> None:
        """Removes what a killed process left half written."""
        remove_leftovers(self.folder)
        remove_leftovers(self.checkpoints)

    def settings(self) -> Settings:
        """The settings that the run has, as they were given last."""
        return validate_settings(self._read()["settings"])

    def resumed_settings(self, given: Mapping[str, Any], resolve: Callable[[Settings], Settings]) -> Settings:
        """The run's settings with those that are given again.

        Args:
            given: raw values, by name
            resolve: brings settings into the form in which a run keeps them

        Raises:
            StylekitError: one that belongs to the run was given with another value.
        """
        own = self.settings()
        base = own.model_dump()
        if given.keys() & {"content", "style", "data"}:  # each of them alone says what the data is
            base |= {"content": None, "style": None, "data": None}
        new = resolve(validate_settings({**base, **given, "resume": True, "out": self.folder}))
        names = [name for name in Settings.model_fields if name not in MAY_CHANGE]
        changed = [name for name in names if getattr(own, name) != getattr(new, name)]
        if changed:
            before, now = own.as_json(), new.as_json()
            was = ", ".join(f"{name} was {before[name]!r}, now {now[name]!r}" for name in changed)
            raise StylekitError(
                f"The run in {self.folder} was started with other settings: {was}. A resumed run keeps its settings: leave "
                "these out, or start a new run with another --out."
            )
        return new

    def require_same(self, arguments: Mapping[str, Any]) -> None:
        """Refuses to go on with a method that is set up otherwise: a preset or a default may have changed meanwhile.

        Raises:
            StylekitError: an argument differs; the first is named.
        """
        stored = self._read().get("method", {}).get("arguments", {})
        for name, value in stored.items():
            if name in arguments and arguments[name] != value:
                raise StylekitError(
                    f"The run in {self.folder} was started with {name}={value!r}, and its plugins now make that "
                    f"{arguments[name]!r}. Install the plugins that it was started with, or start a new run."
                )

    def packages(self) -> dict[str, str]:
        """The packages that the run's plugins came from, with their versions then."""
        return dict(self._read().get("packages", {}))

    def describe(self, **facts: Any) -> None:
        """Adds facts to ``run.json``."""
        self._write({**self._read(), **facts})

    def end_session(self, **facts: Any) -> None:
        """Adds how one session of the run went to ``run.json``."""
        told = self._read()
        self._write({**told, "sessions": [*told["sessions"], facts]})

    def log(self, lines: Iterable[Mapping[str, float]]) -> None:
        """Appends lines to ``metrics.jsonl``, which stays open until :meth:`close`."""
        with explain_os_errors(self._metrics):
            self._log = self._log or self._metrics.open("a")
            self._log.writelines(json.dumps(line) + "\n" for line in lines)
            self._log.flush()

    def close(self) -> None:
        """Closes ``metrics.jsonl``."""
        if self._log:
            self._log.close()
            self._log = None

    def metrics(self) -> list[dict[str, float]]:
        """The lines of ``metrics.jsonl``, up to one that a crash left incomplete or damaged."""
        lines = self._metrics.read_text(errors="replace").split("\n")[:-1] if self._metrics.exists() else []
        whole = []
        for line in lines:
            try:
                whole.append(json.loads(line))
            except ValueError:
                break
        return whole

    def rewind(self, step: int) -> None:
        """Forgets the log after a step: a resumed run makes those steps again."""
        kept = [json.dumps(line) + "\n" for line in self.metrics() if line["step"] <= step]
        write_atomic(self._metrics, "".join(kept))

    def sample(self, step: int, columns: Mapping[str, Tensor]) -> Path:
        """Writes a sample sheet, one row a picture, from ``{label: (N, 3, H, W)}``."""
        rows: list[Sequence[Tensor]] = list(zip(*(column.float().cpu() for column in columns.values()), strict=True))
        path = self.folder / "samples" / f"{step:07d}.png"
        images.write(path, grid(rows, list(columns)))
        return path

    def plot(self) -> None:
        """Draws ``losses.png`` from the log."""
        from stylekit.training.plots import draw_losses

        write_atomic(self.folder / "losses.png", draw_losses(self.metrics()))

    @property
    def interrupted(self) -> bool:
        """Whether its last session was stopped before its time, by Ctrl-C or a request to terminate."""
        return [session["ended"] for session in self._read()["sessions"][-1:]] == ["interrupted"]

    def resume_command(self) -> str:
        """What to type to go on."""
        return f"stylekit train --resume --out {shlex.quote(str(self.folder))}"

    def latest(self) -> Path | None:
        """The newest checkpoint."""
        steps = checkpoint.saved_steps(self.checkpoints)
        return self.checkpoints / str(steps[-1]) if steps else None

    def _read(self) -> dict[str, Any]:
        try:
            told: dict[str, Any] = json.loads(self._settings.read_text())
            told["settings"], told["sessions"]
        except (ValueError, KeyError, TypeError) as error:
            raise StylekitError(f"{self._settings} is damaged ({error}). Restore it, or start a new run.") from None
        if told.get("format") != FORMAT:
            raise StylekitError(
                f"The run in {self.folder} has format {told.get('format', 1)!r}, and this stylekit resumes format {FORMAT}. "
                f"Start a new run with its weights: --init {shlex.quote(str(self.folder))} --out FOLDER."
            )
        return told

    def _write(self, told: Mapping[str, Any]) -> None:
        write_atomic(self._settings, json.dumps(told, indent=2) + "\n")


def next_free(parent: Path, name: str) -> Path:
    """A folder that is not there yet: ``parent/name``, or with a number."""
    number = 1
    while (folder := parent / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return folder


def _versions() -> dict[str, str]:
    return {"stylekit": stylekit.__version__, "torch": torch.__version__, "python": platform.python_version()}
