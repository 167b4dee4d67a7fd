"""Models that a benchmark trains, and keeps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import stylekit
from stylekit.training.runs import Run


def trained(out: Path, steps: int, *options: str) -> stylekit.Model:
    """The model of a run of ``stylekit train`` with these options, which is resumed if there is one.

    Raises:
        CalledProcessError: the training fails, or the run has other options or more steps.
    """
    resume = ["--resume"] if Run(out).exists() else []
    program = [sys.executable, "-m", "stylekit", "train", "--out", str(out), "--steps", str(steps)]
    subprocess.run([*program, *options, *resume], check=True)
    return stylekit.load(out, "cpu")
