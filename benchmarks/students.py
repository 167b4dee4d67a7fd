"""Trains students of a CycleGAN that paints scenes, and compares them with their teacher against the true paintings.

    python benchmarks/students.py TEACHER [--width 8 ...] [--steps 4000] [--record]

TEACHER is a run of ``make demo``. For each network: multiplications and additions at 64 x 64 pixels, parameters, and PSNR and
SSIM of held-out scenes. ``--record`` writes benchmarks/results/students.json, and ``--sheet`` a picture of outputs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[1]))
import stylekit
from benchmarks.figures import RESULTS
from benchmarks.stability.scenes import SIZE, held_out, psnr, sheet, ssim
from stylekit import images
from stylekit.inference import Model

ROUNDS = 20


def measure(model: Model, network: torch.nn.Module) -> tuple[dict[str, Any], torch.Tensor]:
    """What a model costs, how close its outputs are to the truth, and the outputs."""
    photos, truth = held_out()
    output = model.stylize(photos)
    with torch.no_grad(), FlopCounterMode(display=False) as flops:
        model.stylize(photos[:1])
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        model.stylize(photos[:1])
        seconds.append(time.perf_counter() - start)
    figures = {
        "macs": flops.get_total_flops() // 2,
        "parameters": sum(each.numel() for each in network.parameters()),
        "milliseconds": round(1000 * statistics.median(seconds), 2),
        "psnr": psnr(output, truth),
        "ssim": ssim(output, truth),
    }
    return figures, output


def train_student(teacher: Path, width: int, steps: int, init: Path | None = None) -> tuple[Model, float]:
    """A student of that width, and the minutes of its training."""
    with tempfile.TemporaryDirectory() as folder:
        run = stylekit.train(
            "student",
            preset="tiny",
            data="scenes",
            size=SIZE,
            batch_size=4,
            steps=steps,
            workers=1,
            sample_every=steps,
            init=init and str(init),
            out=Path(folder) / "run",
            set={"teacher": str(teacher), "generator.width": width},
        )
        session = json.loads((run / "run.json").read_text())["sessions"][-1]
        return stylekit.load(run, "cpu"), round(session["seconds"] / 60, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("--width", type=int, action="append", help="channels of the first layer; the teacher has 16")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    teacher = stylekit.load(options.teacher, "cpu")
    network: Any = teacher.method
    found, columns = {}, dict(zip(("photograph", "true painting"), held_out(), strict=True))
    found["teacher"], columns["teacher"] = measure(teacher, network.generator_ab)
    print("teacher", found["teacher"], flush=True)
    for width in options.width or [8, 4]:
        model, minutes = train_student(options.teacher, width, options.steps)
        small: Any = model.method
        name = f"student, width {width}"
        figures, columns[name] = measure(model, small.generator)
        found[name] = {**figures, "steps": options.steps, "minutes": minutes}
        print(name, found[name], flush=True)
    if options.sheet:
        images.write(options.sheet, sheet(columns))
    if options.record:
        (RESULTS / "students.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
