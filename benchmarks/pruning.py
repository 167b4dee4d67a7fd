"""Prunes a CycleGAN that paints scenes, trains what is left, and compares it with a student that starts from random weights.

    python benchmarks/pruning.py TEACHER [--keep 0.5 ...] [--steps 300 1000] [--record]

TEACHER is a run of ``make demo``. For each share of channels: the pruned model, then after so many steps as a student of the
teacher, and a student of the same width with as many steps and random weights at first; their costs are the same. PSNR and SSIM
of held-out scenes against the true paintings as in students.py, and PSNR against the teacher's outputs. ``--record`` writes
benchmarks/results/pruning.json, and ``--sheet`` a picture of outputs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
import stylekit
from benchmarks.figures import RESULTS
from benchmarks.stability.scenes import held_out, psnr, sheet
from benchmarks.students import measure, train_student
from stylekit import images
from stylekit.inference import Model
from stylekit.inference.pruning import prune


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("--keep", type=float, action="append", help="share of the channels to keep")
    parser.add_argument("--steps", type=int, nargs="+", default=[100, 400])
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    columns = dict(zip(("photograph", "true painting"), held_out(), strict=True))

    def note(name: str, model: Model, **how: Any) -> None:
        method: Any = model.method
        network = method.generator if hasattr(method, "generator") else method.generator_ab
        figures, columns[name] = measure(model, network)
        del figures["milliseconds"]  # the networks of one width are the same
        if name != "teacher":
            figures["psnr_teacher"] = psnr(columns[name], columns["teacher"])
        found[name] = {**figures, **how}
        print(name, found[name], flush=True)

    note("teacher", stylekit.load(options.teacher, "cpu"))
    for keep in options.keep or [0.5]:
        with tempfile.TemporaryDirectory() as folder:
            light = Path(folder) / "light.safetensors"
            width = prune(options.teacher, light, keep)["width"]
            note(f"pruned to width {width}", stylekit.load(light, "cpu"))
            for steps in options.steps:
                for start, init in (("pruned", light), ("random", None)):
                    model, minutes = train_student(options.teacher, width, steps, init)
                    note(f"width {width}, {start} weights, {steps} steps", model, steps=steps, minutes=minutes)
    if options.sheet:
        images.write(options.sheet, sheet(columns))
    if options.record:
        (RESULTS / "pruning.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
