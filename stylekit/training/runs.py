"""A run's folder: its settings, log, sample grids and checkpoints."""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import secrets
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

import stylekit
from stylekit import images
from stylekit._files import explain_os_errors, remove_leftovers, require_regular, write_atomic
from stylekit.errors import StylekitError
from stylekit.training import checkpoint, launchers
from stylekit.training.metrics_log import parse_line
from stylekit.training.plugin_files import plugin_files
from stylekit.training.run_json import FORMAT, DataFacts, RunContent, read_run
from stylekit.training.sample_grid import grid
from stylekit.training.settings import Settings, validate_settings


class Run:
    """The folder ``runs/NAME`` of one training run.

    Args:
        folder: the folder
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkpoints, self.samples = folder / "checkpoints", folder / "samples"
        self.model, self.best = folder / "model.safetensors", folder / "best.safetensors"
        self._settings, self._metrics = folder / "run.json", folder / "metrics.jsonl"
        self._log: IO[str] | None = None

    def exists(self) -> bool:
        """Whether there is a run in the folder."""
        with explain_os_errors(self.folder, "read"), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self._settings.lstat()
            return True
        return False

    def require_new(self) -> None:
        """Checks that the folder can be used for a new run: it does not exist, or has only hidden files.

        Raises:
            StylekitError: it contains a run or other files, or is a file itself.
        """
        if self.exists():
            raise StylekitError(
                f"{self.folder} already contains a run. Resume it with --resume, or give another folder with --out."
            )
        with explain_os_errors(self.folder, "read"):
            if self.folder.exists() and not self.folder.is_dir():
                raise StylekitError(f"{self.folder} is a file. Give another folder with --out.")
            visible = [path.name for path in self.folder.glob("*") if not path.name.startswith(".")]
        if visible:
            raise StylekitError(
                f"{self.folder} is not empty: it contains {min(visible)!r}, but no run. Files of yours could be replaced, so "
                "give a new or an empty folder with --out."
            )

    def create(self, settings: Settings) -> None:
        """Creates the folder of a new run.

        Raises:
            StylekitError: the folder cannot be created.
        """
        self.make_folders()
        content = {
            "format": FORMAT,
            "id": secrets.token_hex(8),
            "settings": settings.as_json(),
            "versions": _versions(),
            "job": launchers.job(),
        }
        self._write(RunContent.model_validate({**content, "sessions": []}))

    def make_folders(self) -> None:
        """Creates the folders for sample grids and checkpoints, unless they exist.

        Raises:
            StylekitError: one is a link, through which files elsewhere would be replaced, or a file; or it cannot be created.
        """
        for folder in (self.samples, self.checkpoints):
            with explain_os_errors(folder):
                if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
                    raise StylekitError(
                        f"{folder} is a link or a file. Put a folder in its place: a run replaces files there, and through a "
                        "link, they would be somebody else's."
                    )
                folder.mkdir(parents=True, exist_ok=True)

    @classmethod
    def open(cls, folder: Path) -> Run:
        """Opens the run in a folder.

        Raises:
            StylekitError: there is no run, or its ``run.json`` is damaged.
        """
        run = cls(folder)
        if not run.exists():
            raise StylekitError(f"There is no run to resume in {folder}: it contains no run.json.")
        run.settings()
        return run

    def clean(self) -> None:
        """Removes incomplete files that a killed process left behind."""
        for folder in (self.folder, self.checkpoints, self.samples):
            remove_leftovers(folder)

    def settings(self) -> Settings:
        """The settings of the run, as they were last stored."""
        stored = self._read().settings
        try:
            return validate_settings(stored)
        except StylekitError as error:
            raise StylekitError(f"{self._settings} cannot be used. {error}") from None

    def arguments(self) -> dict[str, Any]:
        """The arguments of the method's constructor, as JSON values; empty if they are not known."""
        method = self._read().method
        return method.arguments if method else {}

    def data(self) -> DataFacts | None:
        """The facts about the files of the data set, if it offered them."""
        return self._read().data

    def packages(self) -> dict[str, str]:
        """The packages of the run's plugins, with the versions that the run used."""
        return self._read().packages

    def describe(self, **facts: Any) -> None:
        """Adds facts to ``run.json``."""
        self._write(RunContent.model_validate({**self._read().model_dump(), **facts}))

    def add(self, name: str, fact: Mapping[str, Any]) -> None:
        """Appends a fact to a list in ``run.json``, such as ``warnings``."""
        self.describe(**{name: [*(self._read().model_dump().get(name) or []), dict(fact)]})

    def end_session(self, **facts: Any) -> None:
        """Adds facts about a finished session to ``run.json``."""
        self.describe(sessions=[*self._read().model_dump()["sessions"], facts])

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
        """The lines of ``metrics.jsonl``, without any that a crash left incomplete or that are damaged."""
        if not os.path.lexists(self._metrics):
            return []
        require_regular(self._metrics)
        with explain_os_errors(self._metrics, "read"), self._metrics.open(errors="replace", newline="\n") as lines:
            parsed = [parse_line(line) for line in lines if line.endswith("\n")]
        return [line for line in parsed if line is not None]

    def rewind(self, step: int) -> None:
        """Removes the log lines after a step, because a resumed run repeats those steps."""
        kept = [json.dumps(line) + "\n" for line in self.metrics() if line["step"] <= step]
        write_atomic(self._metrics, "".join(kept))

    def sample(self, step: int, columns: Mapping[str, Tensor]) -> Path:
        """Writes a sample grid, one row per image, from ``{label: (N, C, H, W)}``."""
        rows: list[Sequence[Tensor]] = list(zip(*(column.float().cpu() for column in columns.values()), strict=True))
        path = self.samples / f"{step:07d}.png"
        images.write(path, grid(rows, list(columns)))
        return path

    def plot(self) -> None:
        """Draws ``losses.png`` from the log."""
        from stylekit.training.plots import draw_losses

        write_atomic(self.folder / "losses.png", draw_losses(self.metrics()))

    def restarted(self) -> bool:
        """Whether the run exists, and a launcher now starts its processes again."""
        return launchers.torchrun() and self.exists() and launchers.restarted(self._read().job)

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C or a request to terminate stopped the last session early."""
        return [session.ended for session in self._read().sessions[-1:]] == ["interrupted"]

    def result(self) -> dict[str, Any]:
        """What the last session of training did, as JSON values."""
        session = self._read().sessions[-1].model_dump()
        model = str(self.model) if self.model.exists() else None
        return {
            "run": str(self.folder),
            "step": session.pop("to"),
            "ended": session.pop("ended"),
            "model": model,
            **session,
        }

    def resume_command(self) -> str:
        """The command that resumes the run. It names files of plugins again, which are not imported otherwise."""
        settings, words = self.settings(), ["stylekit", "train", "--resume", "--out", str(self.folder)]
        for option in ("plugin", "log"):
            names = getattr(settings, option)
            words += [word for name in names for word in (f"--{option}", name)] if plugin_files(names) else []
        return shlex.join(words)

    def latest(self, until: float = math.inf) -> Path | None:
        """The newest checkpoint that this run wrote, up to a step.

        Raises:
            StylekitError: it is damaged.
        """
        return checkpoint.latest(self.checkpoints, self.id, until)

    def best_step(self) -> int | None:
        """The step of the best model so far; None if the run is not evaluated."""
        best = self._read().best
        return best.step if best else None

    def processes(self) -> int | None:
        """The number of processes of the last session, if it is known."""
        return self._read().processes

    @property
    def id(self) -> str:
        """A random text that tells this run's checkpoints from others."""
        return self._read().id

    def _read(self) -> RunContent:
        return read_run(self._settings)

    def _write(self, content: RunContent) -> None:
        write_atomic(self._settings, json.dumps(content.model_dump(), indent=2) + "\n")


def _versions() -> dict[str, str]:
    return {"stylekit": stylekit.__version__, "torch": torch.__version__, "python": platform.python_version()}
