"""Measures how long an evaluation takes: pictures of 256 x 256 pixels, all metrics that apply, and VGG-19.

    python benchmarks/evaluation.py [--contents 40] [--styles 25] [--precision bf16 --precision 32] [--record]

The pictures are drawn scenes, and the outputs those of ``color-pca``, which takes hardly any time. ``--record`` writes
benchmarks/results/evaluation.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
import stylekit
from benchmarks.figures import RESULTS
from stylekit import images
from stylekit.evaluation import FolderPictures, Inputs, ModelSubject, evaluate
from stylekit.training.recorder import peak_memory
from stylekit_plugins.datasets.scenes import render

SIZE = 256


def draw(folder: Path, manner: str, count: int) -> FolderPictures:
    """Writes scenes to a folder."""
    folder.mkdir()
    for number in range(count):
        images.write(folder / f"{number:04}.png", render(number, manner, SIZE)[None])
    return FolderPictures(folder, SIZE)


def measure(contents: int, styles: int, precision: str) -> dict[str, Any]:
    """The time of an evaluation, from the pictures on the disk to the scores, and the peak memory of the process."""
    with tempfile.TemporaryDirectory() as place:
        inputs = Inputs(
            draw(Path(place) / "contents", "photo", contents), draw(Path(place) / "styles", "strokes", styles)
        )
        subject = ModelSubject("color-pca", stylekit.load("color-pca", "cpu"), inputs)
        start = time.perf_counter()
        result = evaluate([subject], inputs, half=precision == "bf16")
        seconds = time.perf_counter() - start
    return {
        "outputs": contents * styles,
        "seconds": round(seconds, 1),
        "metrics": sorted(result.scores),
        "peak_process_mb": peak_memory(torch.device("cpu")) >> 20,
        "threads": torch.get_num_threads(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contents", type=int, default=40)
    parser.add_argument("--styles", type=int, default=25)
    parser.add_argument("--precision", action="append", choices=["bf16", "32"])
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    found = {name: measure(options.contents, options.styles, name) for name in options.precision or ["bf16", "32"]}
    print(json.dumps(found, indent=1))
    if options.record:
        (RESULTS / "evaluation.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
