"""A run's folder: its settings, log, sample grids and checkpoints."""

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
"""The format of a run's folder. Runs of another format cannot be resumed, but their models can be loaded."""


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
        """Checks that the folder does not contain a run.

        Raises:
            StylekitError: it contains a run.
        """
        if self._settings.exists():
            raise StylekitError(
                f"{self.folder} already contains a run. Resume it with --resume, or give another folder with --out."
            )

    def create(self, settings: Settings) -> None:
        """Creates the folder of a new run.

        Raises:
            StylekitError: the folder cannot be created.
        """
        with explain_os_errors(self.folder):
            (self.folder / "samples").mkdir(parents=True, exist_ok=True)
            self.checkpoints.mkdir(exist_ok=True)
        self._write({"format": FORMAT, "settings": settings.as_json(), "versions": _versions(), "sessions": []})

    @classmethod
    def open(cls, folder: Path) -> Run:
        """Opens the run in a folder.

        Raises:
            StylekitError: there is no run, or its ``run.json`` is damaged.
        """
        run = cls(folder)
        if not run._settings.is_file():
            raise StylekitError(f"There is no run to resume in {folder}: it contains no run.json.")
        run.settings()
        return run

    def clean(self) -> None:
        """Removes incomplete files that a killed process left behind."""
        for folder in (self.folder, self.checkpoints, self.folder / "samples"):
            remove_leftovers(folder)

    def settings(self) -> Settings:
        """The settings of the run, as they were last stored."""
        return validate_settings(self._read()["settings"])

    def resumed_settings(self, given: Mapping[str, Any], resolve: Callable[[Settings], Settings]) -> Settings:
        """The run's settings, updated with those given when resuming.

        Args:
            given: raw values by name
            resolve: converts settings to the form that a run stores

        Raises:
            StylekitError: a setting that cannot change was given another value.
        """
        stored = self.settings()
        base = stored.model_dump()
        if given.keys() & {"content", "style", "data"}:  # each of them specifies the whole data set
            base |= {"content": None, "style": None, "data": None}
        new = resolve(validate_settings({**base, **given, "resume": True, "out": self.folder}))
        names = [name for name in Settings.model_fields if name not in MAY_CHANGE]
        changed = [name for name in names if getattr(stored, name) != getattr(new, name)]
        if changed:
            before, now = stored.as_json(), new.as_json()
            changes = ", ".join(f"{name} was {before[name]!r}, now {now[name]!r}" for name in changed)
            raise StylekitError(
                f"The run in {self.folder} was started with other settings: {changes}. A resumed run keeps its settings: "
                "leave these out, or start a new run with another --out."
            )
        return new

    def require_same(self, arguments: Mapping[str, Any]) -> None:
        """Checks that the method has the arguments of the run: a preset or a default may have changed in the meantime.

        Raises:
            StylekitError: an argument differs; the message names the first.
        """
        stored = self._read().get("method", {}).get("arguments", {})
        for name, value in stored.items():
            if name in arguments and arguments[name] != value:
                raise StylekitError(
                    f"The run in {self.folder} was started with {name}={value!r}, but its plugins now use "
                    f"{arguments[name]!r}. Install the versions of the plugins that it was started with, or start a new run."
                )

    def packages(self) -> dict[str, str]:
        """The packages of the run's plugins, with the versions that the run used."""
        return dict(self._read().get("packages", {}))

    def describe(self, **facts: Any) -> None:
        """Adds facts to ``run.json``."""
        self._write({**self._read(), **facts})

    def end_session(self, **facts: Any) -> None:
        """Adds facts about a finished session to ``run.json``."""
        content = self._read()
        self._write({**content, "sessions": [*content["sessions"], facts]})

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
        """The lines of ``metrics.jsonl``, up to the first that a crash left incomplete or damaged."""
        lines = self._metrics.read_text(errors="replace").split("\n")[:-1] if self._metrics.exists() else []
        parsed = []
        for line in lines:
            try:
                parsed.append(json.loads(line))
            except ValueError:
                break
        return parsed

    def rewind(self, step: int) -> None:
        """Removes the log lines after a step, because a resumed run repeats those steps."""
        kept = [json.dumps(line) + "\n" for line in self.metrics() if line["step"] <= step]
        write_atomic(self._metrics, "".join(kept))

    def sample(self, step: int, columns: Mapping[str, Tensor]) -> Path:
        """Writes a sample grid, one row per image, from ``{label: (N, 3, H, W)}``."""
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
        """Whether Ctrl-C or a request to terminate stopped the last session early."""
        return [session["ended"] for session in self._read()["sessions"][-1:]] == ["interrupted"]

    def resume_command(self) -> str:
        """The command that resumes the run."""
        return f"stylekit train --resume --out {shlex.quote(str(self.folder))}"

    def latest(self) -> Path | None:
        """The newest checkpoint."""
        steps = checkpoint.saved_steps(self.checkpoints)
        return self.checkpoints / str(steps[-1]) if steps else None

    def _read(self) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(self._settings.read_text())
            content["settings"], content["sessions"]
        except (ValueError, KeyError, TypeError) as error:
            raise StylekitError(f"{self._settings} is damaged ({error}). Restore it, or start a new run.") from None
        if content.get("format") != FORMAT:
            raise StylekitError(
                f"The run in {self.folder} has format {content.get('format', 1)!r}, but this stylekit resumes only format "
                f"{FORMAT}. Start a new run with its weights: --init {shlex.quote(str(self.folder))} --out FOLDER."
            )
        return content

    def _write(self, content: Mapping[str, Any]) -> None:
        write_atomic(self._settings, json.dumps(content, indent=2) + "\n")


def next_free(parent: Path, name: str) -> Path:
    """A folder that does not exist yet: ``parent/name``, with a number if needed."""
    number = 1
    while (folder := parent / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return folder


def _versions() -> dict[str, str]:
    return {"stylekit": stylekit.__version__, "torch": torch.__version__, "python": platform.python_version()}
