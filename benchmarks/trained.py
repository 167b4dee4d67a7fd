"""Models that a benchmark trains, and keeps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import stylekit
from stylekit.training.runs import Run


def trained(out: Path, steps: int, *options: str) -> stylekit.Model:
    """The model of a run of ``stylekit train`` with these options, which is resumed if it has fewer steps."""
    run = Run(out)
    done = run.metrics()[-1]["step"] if run.exists() else 0
    if done < steps:
        resume = ["--resume"] if done else []
        program = [sys.executable, "-m", "stylekit", "train", "--out", str(out), "--steps", str(steps)]
        subprocess.run([*program, *options, *resume], check=True)
    return stylekit.load(out, "cpu")
