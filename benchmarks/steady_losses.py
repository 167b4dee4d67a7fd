"""Trains small models for steadiness, with one loss and another, and measures the flicker of drawn clips.

    python benchmarks/steady_losses.py [--runs DIR] [--steps 600] [--record]

Models of ``any-style`` (preset ``tiny``) that differ only in their further losses learn from drawn scenes, with the same seed.
Clips are those of ``steadiness.py``, stylised frame by frame. A run that is in DIR already is resumed, or used if it has all
its steps. ``--record`` writes benchmarks/results/steady_losses.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
import stylekit
from benchmarks.figures import RESULTS
from benchmarks.steadiness import COUNT, SCENES, SIZE, Frames, drawn, means, measure
from benchmarks.trained import trained
from stylekit_plugins.datasets.scenes import render

WARP, NOISE = {"name": "warp-consistency", "weight": 10.0}, {"name": "noise-consistency", "weight": 1000.0}
LOSSES: Mapping[str, list[dict[str, Any]]] = {
    "none": [],
    "`warp-consistency` 10": [WARP],
    "`noise-consistency` 1000": [NOISE],
    "both": [WARP, NOISE],
    "`ccpl` 1": [{"name": "ccpl", "weight": 1.0, "encoder": {"name": "random", "width": 32, "scales": 3}}],
}
"""Further losses, by the name in the table."""
SIDE, BATCH = 96, 4


def framed(model: stylekit.Model, frames: Frames, style: Tensor) -> Iterator[Tensor]:
    """The frames, each stylised by itself."""
    made: Iterator[Tensor] = model.frames(frames, style)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/steady-losses"))
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args(arguments)
    settings = ["--plugin", "any-style", "--preset", "tiny", "--data", "scenes", "--size", str(SIDE), "--workers", "0"]
    settings += ["--batch-size", str(BATCH), "--seed", "1"]
    rows: dict[str, dict[str, float]] = {}
    for number, (name, losses) in enumerate(LOSSES.items()):
        model = trained(options.runs / str(number), options.steps, *settings, "--set", f"extra={json.dumps(losses)}")
        found = []
        for index, manner in SCENES.values():
            frames, motions = drawn(index)
            style = render(100 + index, manner, SIZE)[None]
            found.append(measure(partial(framed, model), frames, style, motions)[0])
        rows[name] = means(found)
        print(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in rows[name].items()), flush=True)
    if options.record:
        report = {"steps": options.steps, "size": SIDE, "batch_size": BATCH, "frames": COUNT, "rows": rows}
        (RESULTS / "steady_losses.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
