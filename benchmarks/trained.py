"""Models that a benchmark trains, and keeps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import stylekit
from stylekit.training.runs import Run


def trained(out: Path, steps: int, *options: str) -> stylekit.Model:
    """The model of a run of ``stylekit train`` with these options, which is resumed if it has fewer steps.

    Raises:
        CalledProcessError: the training fails, or the run has other options or more steps.
    """
    run = Run(out)
    metrics = run.metrics() if run.exists() else []
    if not metrics or metrics[-1]["step"] != steps:
        resume = ["--resume"] if run.exists() else []
        program = [sys.executable, "-m", "stylekit", "train", "--out", str(out), "--steps", str(steps)]
        subprocess.run([*program, *options, *resume], check=True)
    return stylekit.load(out, "cpu")
