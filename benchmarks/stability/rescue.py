"""Rescue: does the sentinel notice training that fails, and not training that works; and does a rollback save it?

    python benchmarks/stability/rescue.py [--seeds 10] [--record] [--resume]

CycleGAN (preset ``tiny``) learns to paint scenes, with its own learning rate and with one that is a hundred times as high.
With ``--guard rollback``, the run returns to a checkpoint with half the learning rate, as often as it takes; without, it goes
on. A model is usable if its output for held-out scenes is closer to the truth than the input is.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))
import stylekit
from benchmarks.figures import RESULTS
from benchmarks.stability.scenes import BATCH, SIZE, held_out, psnr

HEALTHY, BROKEN = 1e-3, 0.1
"""Learning rates: that of the preset, and one at which training fails."""
KINDS = {"broken": (BROKEN, "rollback"), "unguarded": (BROKEN, "warn"), "healthy": (HEALTHY, "warn")}
"""The learning rate and the guard of each kind of run."""
WITHIN = 200
"""Steps within which the sentinel should notice."""


def run(seed: int, rate: float, guard: str, steps: int, photos: Tensor, truth: Tensor) -> dict[str, Any]:
    """Trains once; returns the steps of the warnings, the number of rollbacks, and the PSNR before and after in dB."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        settings: dict[str, Any] = {
            "preset": "tiny",
            "data": "scenes",
            "size": SIZE,
            "batch_size": BATCH,
            "steps": steps,
        }
        failed = ""
        try:
            stylekit.train(
                "cyclegan",
                out=out,
                seed=seed,
                set={"lr": rate},
                guard=guard,
                workers=0,
                checkpoint_every=25,
                **settings,
            )
        except stylekit.StylekitError as error:
            failed = str(error)
        record = json.loads((out / "run.json").read_text())
        output = photos if failed else stylekit.load(out, "cpu").stylize(photos)
    return {
        "warned_at": [warning["step"] for warning in record.get("warnings", [])],
        "rollbacks": len(record.get("rollbacks", [])),
        "failed": failed,
        "psnr_before": psnr(photos, truth),
        "psnr": psnr(output, truth),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--record", action="store_true", help="write benchmarks/results/rescue.json")
    parser.add_argument(
        "--resume", action="store_true", help="keep the recorded runs, and add the seeds that are missing"
    )
    options = parser.parse_args()
    photos, truth = held_out()
    record = RESULTS / "rescue.json"
    runs: dict[str, list[dict[str, Any]]] = json.loads(record.read_text())["runs"] if options.resume else {}
    for seed, (kind, (rate, guard)) in itertools.product(range(options.seeds), KINDS.items()):
        done = runs.setdefault(kind, [])
        if len(done) > seed:
            continue
        done.append(run(seed, rate, guard, options.steps, photos, truth))
        print(seed, kind, done[-1], flush=True)
        if options.record:
            rates = {kind: rate for kind, (rate, _) in KINDS.items()}
            report = {
                "rates": rates,
                "steps": options.steps,
                "runs": {each: runs[each] for each in KINDS if each in runs},
            }
            record.write_text(json.dumps(report, indent=1) + "\n")
    noticed = sum(bool(each["warned_at"]) and each["warned_at"][0] <= WITHIN for each in runs["broken"])
    usable = sum(each["psnr"] > each["psnr_before"] for each in runs["broken"])
    silent = sum(not each["warned_at"] for each in runs["healthy"])
    print(
        f"noticed within {WITHIN} steps: {noticed}, usable after rollbacks: {usable}, silent in healthy runs: {silent}",
        end="",
    )
    print(f", each of {options.seeds}")


if __name__ == "__main__":
    main()
