"""Scenes: unpaired translators against the truth, with the same time of one core for each.

    python benchmarks/stability/scenes.py [--seconds 145] [--seeds 5] [--method cyclegan ...] [--record]

Every method learns to paint photographs of scenes from paintings of other scenes. Held-out scenes are drawn in both manners,
so the truth is known:

psnr, ssim      of the output against the true painting
mind            the metric of that name of outputs and true paintings, by mean features of the normalised VGG-19 (relu3_1)
lost, invented  the metrics lost-edges and invented-edges

A run has failed if its output is no closer to the truth than its input is. ``--sheet`` writes a picture of outputs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

sys.path.insert(0, str(Path(__file__).parents[2]))
import stylekit
from benchmarks.figures import RESULTS
from benchmarks.stability import timed
from stylekit import make
from stylekit.images import resize, write
from stylekit.training.sample_grid import grid
from stylekit_plugins.datasets.scenes import Scenes

SIZE, HELD_OUT, BATCH, CHECKPOINTS = 64, 50, 4, 4
METHODS = ("cyclegan", "cut", "enco", "content-gan")
DISCRIMINATORS: Mapping[str, dict[str, Any]] = {
    "patch": {"name": "patch", "layers": 2, "width": 16},
    "patch-sn": {"name": "patch-sn", "layers": 2, "width": 16},
    "multiscale-sn": {"name": "multiscale-sn", "layers": 2, "width": 16},
}
ROWS, SHOWN = 5, 128
"""Scenes on the sheet, and the side of each image there in pixels."""


def held_out() -> tuple[Tensor, Tensor]:
    """Photographs ``(N, 3, H, W)`` in [0, 1], and the true paintings of the same scenes."""
    test = Scenes(size=SIZE, split="test", length=HELD_OUT)
    items = [test[index] for index in range(HELD_OUT)]
    return torch.stack([item["content"] for item in items]), torch.stack([item["style"] for item in items])


def psnr(image: Tensor, truth: Tensor) -> float:
    """The peak signal-to-noise ratio in dB, averaged over the images ``(N, 3, H, W)`` in [0, 1]."""
    return float(peak_signal_noise_ratio(image, truth, data_range=1.0, dim=(1, 2, 3)))


def ssim(image: Tensor, truth: Tensor) -> float:
    """The structural similarity, averaged over the images ``(N, 3, H, W)`` in [0, 1]."""
    similarity = structural_similarity_index_measure(image, truth, data_range=1.0)
    assert isinstance(similarity, Tensor)
    return float(similarity)


class Measure:
    """Compares outputs for the held-out scenes with the truth."""

    def __init__(self) -> None:
        self.photos, self.truth = held_out()
        self.lost, self.invented = make("metric", "lost-edges"), make("metric", "invented-edges")
        self.mind: Any = make("metric", "mind", encoder={"name": "vgg19-normalised", "layers": ["relu3_1"]})

    def __call__(self, output: Tensor) -> dict[str, float]:
        return {
            "psnr": psnr(output, self.truth),
            "ssim": ssim(output, self.truth),
            "mind": float(self.mind(self.mind.features(output), self.mind.features(self.truth))),
            "lost": float(self.lost(output, self.truth).mean()),
            "invented": float(self.invented(output, self.truth).mean()),
        }


def judged(
    method: str, discriminator: str, seed: int, seconds: float, steps: int | None, measure: Measure
) -> tuple[dict[str, Any], Tensor]:
    """Trains for about ``seconds`` or ``steps``, and measures every checkpoint; returns the last outputs, too."""
    with tempfile.TemporaryDirectory() as folder:
        session = timed.train(
            method,
            Path(folder),
            seconds,
            BATCH,
            CHECKPOINTS,
            steps,
            preset="tiny",
            data="scenes",
            set={"discriminator": DISCRIMINATORS[discriminator]},
            size=SIZE,
            seed=seed,
        )
        checkpoints = sorted((Path(folder) / "run" / "checkpoints").iterdir())
        outputs = [stylekit.load(each, "cpu").stylize(measure.photos) for each in checkpoints]
    marks = [measure(output) for output in outputs]
    best = max(range(len(marks)), key=lambda number: marks[number]["psnr"])
    figures = {
        "steps": session["steps"],
        "seconds": session["seconds"],
        "last": marks[-1],
        "best": marks[best],
        "best_at": best + 1,
    }
    return figures, outputs[-1]


def sheet(columns: Mapping[str, Tensor]) -> Tensor:
    """The first scenes, with a column for the photographs, the truth and each translator: ``(3, H, W)``."""
    rows = [[resize(images[None, number], (SHOWN, SHOWN))[0] for images in columns.values()] for number in range(ROWS)]
    return grid(rows, list(columns))


def line(name: str, runs: Sequence[Mapping[str, Any]], before: float) -> str:
    """The means of the runs, with the spread of the PSNR."""
    last = {key: [run["last"][key] for run in runs] for key in runs[0]["last"]}
    failed = sum(psnr <= before for psnr in last["psnr"])
    spread = f" +- {statistics.stdev(last['psnr']):.2f}" if len(runs) > 1 else ""
    means = ", ".join(f"{key} {statistics.mean(values):.3f}" for key, values in last.items())
    return f"{name}: {means}{spread}, failed {failed} of {len(runs)}, {statistics.mean(run['steps'] for run in runs):.0f} steps"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=145.0, help="of one core, for each run")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--method", action="append", choices=METHODS)
    parser.add_argument("--discriminator", action="append", choices=list(DISCRIMINATORS))
    parser.add_argument("--sheet", type=Path, help="image file for the first scenes, as each method painted them last")
    parser.add_argument("--record", action="store_true", help="write benchmarks/results/scenes.json")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="keep the recorded runs, and add the seeds that are missing, with as many steps. Several processes may do that "
        "at once, each for other methods",
    )
    options = parser.parse_args()
    measure = Measure()
    before = measure(measure.photos)
    record = RESULTS / "scenes.json"
    rows: dict[str, list[dict[str, Any]]] = json.loads(record.read_text())["runs"] if options.resume else {}
    columns = {"photograph": measure.photos, "true painting": measure.truth}
    print(f"untouched: {before}")
    names = itertools.product(options.method or METHODS, options.discriminator or DISCRIMINATORS)
    for seed, (method, discriminator) in itertools.product(range(options.seeds), list(names)):
        name = f"{method}, {discriminator}"
        runs = rows.setdefault(name, [])
        if len(runs) > seed:
            continue
        steps = timed.alike(runs) if options.resume else None
        figures, columns[method] = judged(method, discriminator, seed, options.seconds, steps, measure)
        runs.append(figures)
        print(line(name, runs, before["psnr"]), flush=True)
        if options.sheet:
            write(options.sheet, sheet(columns))
        if options.record:
            if options.resume:  # another process may have added runs of other methods
                rows = {**json.loads(record.read_text())["runs"], name: runs}
            report = {"seconds": options.seconds, "untouched": before, "runs": rows}
            record.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
