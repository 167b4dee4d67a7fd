"""Prepares a trained model for release: weights in half precision, and statistics of its run for the model card.

python examples/small/pack.py RUN FILE [FIGURES.json]
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import safetensors
import safetensors.torch

from stylekit.training.runs import Run


def pack(run: Path, out: Path) -> None:
    """Writes the run's ``model.safetensors`` to ``out``, with floating-point tensors as float16."""
    with safetensors.safe_open(run / "model.safetensors", framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    halved = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    out.write_bytes(safetensors.torch.save(halved, metadata))


def figures(run: Path, out: Path) -> dict[str, Any]:
    """Statistics of the model file and of its training run."""
    record = json.loads((run / "run.json").read_text())
    losses = [line["descend/objective"] for line in Run(run).metrics()]
    settings = {
        key: record["settings"][key] for key in ("steps", "batch_size", "size", "seed", "precision", "plugin", "set")
    }
    return {
        **settings,
        "torch": record["versions"]["torch"],
        "cores": os.cpu_count(),
        "hours": sum(session["seconds"] for session in record["sessions"]) / 3600,
        "first": fmean(losses[:100]),
        "last": fmean(losses[-100:]),
        "megabytes": out.stat().st_size / 1e6,
        "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
    }


if __name__ == "__main__":
    run, out, *rest = map(Path, sys.argv[1:])
    pack(run, out)
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB")
    for path in rest:
        path.write_text(json.dumps(figures(run, out), indent=2) + "\n")
