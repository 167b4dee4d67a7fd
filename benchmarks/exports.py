"""Exports every built-in method to ONNX and to ``.pt2``, and compares what the files compute with torch, at three sizes.

    python benchmarks/exports.py [--record]

The methods have random weights and small networks, because only the operations matter. ``--record`` writes
benchmarks/results/exports.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.figures import RESULTS
from stylekit import StylekitError, make
from stylekit.inference.exported.card import describing
from stylekit.inference.exported.export import export
from stylekit.inference.model import Model
from stylekit.registry import lookup

FORMATS = (".onnx", ".pt2")
GENERATOR = {"name": "resnet", "width": 8, "blocks": 1}
ENCODER = {"name": "random", "width": 8, "scales": 3}
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "adain": {"encoder": ENCODER},
    "any-style": {"width": 16, "deep": 1, "blocks": 1, "encoder": ENCODER, "content_layers": {}},
    "content-gan": {"generator": GENERATOR},
    "cut": {"generator": GENERATOR},
    "cyclegan": {"generator": GENERATOR},
    "enco": {"generator": GENERATOR},
    "gan": {"side": 16, "width": 8},
    "pix2pix": {"generator": GENERATOR},
    "stargan": {"generator": GENERATOR},
    "student": {"generator": GENERATOR, "encoder": ENCODER},
    "stylegan": {"side": 16, "width": 8},
    "vae-gan": {"side": 16, "width": 8},
    "wct": {"encoder": ENCODER},
}
"""What makes the methods small."""


def try_export(name: str, suffix: str) -> dict[str, Any]:
    """The largest difference from torch in levels of 255, or why there is no file."""
    torch.manual_seed(0)
    model = Model(make("method", {"name": name, **OPTIONS.get(name, {})}), name)
    with tempfile.TemporaryDirectory() as folder:
        path, start = Path(folder) / f"model{suffix}", time.perf_counter()
        try:
            checks = export(model, path)
        except StylekitError as error:
            return {"reason": str(error).replace(str(path), "the file")}
        return {
            "difference": max(check.difference for check in checks),
            "seconds": round(time.perf_counter() - start, 1),
            "files": 1 + describing(path).is_file(),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    found: dict[str, dict[str, Any]] = {}
    for name in lookup.part_names("method"):
        found[name] = {suffix: try_export(name, suffix) for suffix in FORMATS}
        print(name, found[name], flush=True)
    if options.record:
        (RESULTS / "exports.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
