"""Prepares the trained model for release: weights in half precision, and statistics of its training for the model card.

python examples/any/pack.py FOLDER FILE [FIGURES.json]

FOLDER is that of train.sh. The model is that of its last complete run.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import Counter
from pathlib import Path
from statistics import fmean
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
from examples.half_precision import pack
from stylekit.training.runs import Run

RUNS = ("small", "large")
"""The runs of train.sh, in order."""
TERMS = ("content", "style", "identity")
PARTS = 8
"""Number of parts of a run over which the curves of the losses are averaged."""


def complete(run: Path) -> bool:
    """Whether a run has ended; one that was interrupted has a model, too."""
    return Run(run).exists() and Run(run).result()["ended"] == "complete"


def figures(folder: Path, runs: list[Path], out: Path) -> dict[str, Any]:
    """Statistics of the model file, its pictures and its training runs."""
    files = (path.relative_to(folder / "pictures") for path in sorted((folder / "pictures").rglob("*.*")))
    # A folder whose name starts with "drawn" holds textures that stylekit drew.
    counts = Counter(f"{path.parts[0]}{', drawn' if path.parts[1].startswith('drawn') else ''}" for path in files)
    return {
        "pictures": dict(counts),
        "cores": os.cpu_count(),
        "runs": {run.name: of_run(run) for run in runs},
        "megabytes": out.stat().st_size / 1e6,
        "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
    }


def of_run(run: Path) -> dict[str, Any]:
    """The settings and the time of a run, and the mean of each loss over consecutive parts of it."""
    record, lines = json.loads((run / "run.json").read_text()), list(Run(run).metrics())
    parts = [lines[len(lines) * part // PARTS : len(lines) * (part + 1) // PARTS] for part in range(PARTS)]
    names = {term: f"paint/{term}" for term in TERMS}
    return {
        **{key: record["settings"][key] for key in ("steps", "batch_size", "size", "seed", "precision", "set")},
        "crop": record["settings"]["data"]["crop"],
        "torch": record["versions"]["torch"],
        "hours": sum(session["seconds"] for session in record["sessions"]) / 3600,
        "losses": {
            term: [fmean(line[name] for line in part if name in line) for part in parts] for term, name in names.items()
        },
    }


if __name__ == "__main__":
    folder, out, *rest = map(Path, sys.argv[1:])
    runs = [folder / name for name in RUNS if complete(folder / name)]
    pack(runs[-1], out)
    for path in rest:
        path.write_text(json.dumps(figures(folder, runs, out), indent=2) + "\n")
