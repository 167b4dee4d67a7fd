"""Training for about a given time of one core, whatever a step of the method costs on this machine.

Time is the processor's, so that other work on the machine does not shorten the training.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import stylekit

TRIAL = 30
"""Steps of the trial that tells how many steps fit into the time."""


def alike(runs: Sequence[Mapping[str, Any]]) -> int | None:
    """As many steps as recorded runs had, on average: a seed that is added later is one more of the same."""
    return round(statistics.mean(run["steps"] for run in runs)) if runs else None


def train(
    plugin: str | Sequence[str],
    folder: Path,
    seconds: float,
    batch_size: int,
    checkpoints: int = 1,
    steps: int | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Trains for about ``seconds`` in ``folder / "run"``; returns the ``seconds`` of one core, and the ``steps``.

    Args:
        plugin: the method, and files with further parts
        folder: a folder for the runs
        seconds: how long to train, in seconds of one core
        batch_size: images per step
        checkpoints: number of checkpoints to write and keep
        steps: how many steps to train, instead of as many as fit into ``seconds``
        settings: further settings of the run
    """

    def session(name: str, steps: int) -> dict[str, Any]:
        wall, processor = time.perf_counter(), time.process_time()
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
        cores = (time.process_time() - processor) / (time.perf_counter() - wall)
        record: dict[str, Any] = json.loads((folder / name / "run.json").read_text())["sessions"][-1]
        return {"seconds": record["seconds"] * cores, "rate": record["images_per_second"] / cores, "steps": steps}

    torch.set_num_threads(1)
    if steps is None:
        steps = max(TRIAL, int(seconds * session("trial", TRIAL)["rate"] / batch_size))
    return session("run", steps)
