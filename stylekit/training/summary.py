"""What a run's folder says about the run, and how the settings of runs differ. Does not import torch."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from stylekit.errors import StylekitError
from stylekit.training.metrics_log import last_line
from stylekit.training.run_json import Best, read_run

PLACES = ("out", "resume")
"""Settings that say where a run is, not what it does."""


@dataclass(frozen=True)
class Summary:
    """The facts about a run.

    Attributes:
        folder: its folder
        method: name of the method; None if training has not begun
        step: the last step in its log
        steps: steps of the whole run
        ended: how its last session ended: complete, interrupted or failed; None if it is still running or was killed
        metrics: loss terms and metrics of the last step, by name
        best: its best model, if it is evaluated
        bytes: size of all its files
        changed: when its log or its state was last written, in UTC
        settings: its settings as JSON values
    """

    folder: Path
    method: str | None
    step: int
    steps: int | None
    ended: str | None
    metrics: dict[str, float]
    best: Best | None
    bytes: int
    changed: datetime
    settings: dict[str, Any]


def runs_in(folder: Path) -> list[Path]:
    """The runs directly in a folder, by name, or the folder itself if it is a run.

    Raises:
        StylekitError: there is no such folder, or no run in it.
    """
    if not folder.is_dir():
        raise StylekitError(f"There is no folder {folder}.")
    if (folder / "run.json").exists():
        return [folder]
    runs = sorted(path.parent for path in folder.glob("*/run.json"))
    if not runs:
        raise StylekitError(f"There are no runs in {folder}: none of its folders contains a run.json.")
    return runs


def summarize(folder: Path) -> Summary:
    """Reads the facts about a run.

    Raises:
        StylekitError: its run.json or its log is damaged.
    """
    content = read_run(folder / "run.json")
    line = last_line(folder / "metrics.jsonl") or {"step": 0}
    last = content.sessions[-1] if content.sessions else None
    steps = content.settings.get("steps")
    written = [(folder / name) for name in ("run.json", "metrics.jsonl")]
    return Summary(
        folder=folder,
        method=content.method.name if content.method else None,
        step=int(line["step"]),
        steps=steps if isinstance(steps, int) else None,
        ended=last.ended if last and last.to >= line["step"] else None,
        metrics={name: value for name, value in line.items() if name != "step"},
        best=content.best,
        bytes=sum(_sizes(folder)),
        changed=datetime.fromtimestamp(max(path.stat().st_mtime for path in written if path.exists()), timezone.utc),
        settings=content.settings,
    )


def _sizes(folder: Path) -> Iterator[int]:
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # a running run replaces its files
                yield os.lstat(os.path.join(parent, name)).st_size


def differences(settings: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The settings that are not the same in all runs, with the value in each; None where a run has no such setting."""
    flat = [dict(_flattened(each)) for each in settings]
    names = list(dict.fromkeys(name for each in flat for name in each))
    values = {name: [each.get(name) for each in flat] for name in names if name not in PLACES}
    return {name: each for name, each in values.items() if any(value != each[0] for value in each)}


def _flattened(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
