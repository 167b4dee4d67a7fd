"""Training for about a given time, whatever a step of the method costs on this machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import stylekit

TRIAL = 30
"""Steps of the trial that tells how many steps fit into the time."""


def train(
    plugin: str | Sequence[str], folder: Path, seconds: float, batch_size: int, checkpoints: int = 1, **settings: Any
) -> dict[str, Any]:
    """Trains for about ``seconds`` in ``folder / "run"``; returns the record of the session, with its number of ``steps``.

    Args:
        plugin: the method, and files with further parts
        folder: a folder for the runs
        seconds: how long to train
        batch_size: images per step
        checkpoints: number of checkpoints to write and keep
        settings: further settings of the run
    """

    def session(name: str, steps: int) -> dict[str, Any]:
        stylekit.train(
            plugin,
            out=folder / name,
            steps=steps,
            batch_size=batch_size,
            workers=0,
            sample_every=steps,
            checkpoint_every=max(1, steps // checkpoints),
            keep=checkpoints,
            **settings,
        )
        record: dict[str, Any] = json.loads((folder / name / "run.json").read_text())["sessions"][-1]
        return {**record, "steps": steps}

    rate = session("trial", TRIAL)["images_per_second"]
    return session("run", max(TRIAL, int(seconds * rate / batch_size)))
