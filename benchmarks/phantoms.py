"""Trains CycleGANs on phantoms, with equal and unequal shares of lesions in both sets, and counts what they lose and invent.

    python benchmarks/phantoms.py [--runs DIR] [--steps 1500] [--sheet FILE] [--record]

The held-out phantoms are the same for all, and every second has lesions; the truth is what the other scanner shows. A run
that is in DIR already is resumed, or used if it has all its steps. ``--record`` writes benchmarks/results/phantoms.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
import stylekit
from benchmarks.figures import RESULTS
from benchmarks.stability.scenes import sheet
from benchmarks.trained import trained
from stylekit import images, make

SETS = {
    "half of both": (0.5, 0.5),
    "half of the contents, none of the styles": (0.5, 0.0),
    "none of the contents, all of the styles": (0.0, 1.0),
}
"""Which slices show lesions in training."""
SIZE, HELD_OUT = 64, 200
METRICS = ("lost-spots", "invented-spots", "psnr")


def train(folder: Path, lesions: tuple[float, float], steps: int) -> stylekit.Model:
    """A CycleGAN that learned from sets with these shares of lesions."""
    data = json.dumps({"name": "phantoms", "lesions": lesions})
    settings = ["--preset", "tiny", "--size", str(SIZE), "--batch-size", "4", "--seed", "1", "--workers", "0"]
    return trained(folder, steps, "--plugin", "cyclegan", "--data", data, *settings)


def measure(output: Tensor, truth: Tensor) -> dict[str, float]:
    """What became of translations ``(N, 3, H, W)``.

    Returns:
        lost: the mean share of the lesions of a phantom that are lost
        invented: the share of the phantoms without lesions that got one
        psnr: the mean, in dB
    """
    ill = torch.arange(len(output)) % 2 == 0
    found = {name: make("metric", name)(output, truth) for name in METRICS}
    return {
        "lost": float(found["lost-spots"][ill].mean()),
        "invented": float((found["invented-spots"][~ill] > 0).double().mean()),
        "psnr": float(found["psnr"].mean()),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/phantoms"))
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args(arguments)
    phantoms = make("dataset", "phantoms", size=SIZE, split="test", length=HELD_OUT)
    content, truth = (torch.stack([phantoms[index][key] for index in range(HELD_OUT)]) for key in ("content", "style"))
    columns = {"scanner a": content, "scanner b": truth}
    rows: dict[str, Any] = {}
    for number, (name, lesions) in enumerate(SETS.items()):
        model = train(options.runs / str(number), lesions, options.steps)
        columns[name] = torch.cat([model.stylize(part) for part in content.split(20)])
        rows[name] = measure(columns[name], truth)
        print(name, rows[name], flush=True)
    if options.sheet:
        images.write(options.sheet, sheet(columns))
    if options.record:
        found = {"steps": options.steps, "phantoms": HELD_OUT, "rows": rows}
        (RESULTS / "phantoms.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
