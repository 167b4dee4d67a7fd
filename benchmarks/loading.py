"""Measures how fast images are loaded from a folder and from shards, and how long training steps wait for them.

    python benchmarks/loading.py [--record]

The images are drawn by stylekit and written as JPEG files; `stylekit data pack` makes the shards. The two are read
alternately, epoch by epoch, so that anything that slows the machine down affects both; a ratio is the median over the pairs.
Cold means that the files were dropped from the system's cache before each epoch. ``--record`` writes
benchmarks/results/loading.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
import stylekit
from benchmarks.figures import RESULTS
from stylekit.datasets.packing import pack
from stylekit.images import to_pil
from stylekit.training.loader import batches
from stylekit_plugins.datasets.folders import Folders
from stylekit_plugins.datasets.scenes import Scenes

DRAWN, COPIES, SIDE, QUALITY = 60, 10, 512, 90
"""Number of drawn images, files made of each by cutting it in other places, their side in pixels, and the quality of JPEG."""
PER_SHARD = 100
SIZE, BATCH, WORKERS = 256, 8, 1
"""What is loaded: side of the crops, images in a batch, and processes that load."""
ROUNDS = 7
STEPS = 60
"""Training steps of which the waiting time is measured."""
NETWORKS: dict[str, Any] = {
    "generator": {"name": "resnet", "blocks": 6, "width": 16},
    "discriminator": {"name": "patch", "width": 16},
}


def make(folder: Path) -> dict[str, Path]:
    """A folder of images, and one of shards with the same."""
    images = folder / "images"
    images.mkdir()
    scenes = Scenes(size=SIDE + COPIES, length=DRAWN)
    for number in range(DRAWN):
        picture: Image.Image = to_pil(scenes[number]["content"])
        for copy in range(COPIES):
            picture.crop((copy, copy, copy + SIDE, copy + SIDE)).save(
                images / f"{number:03}-{copy}.jpg", quality=QUALITY
            )
    list(pack(images, folder / "shards", count=PER_SHARD))
    return {"folder": images, "shards": folder / "shards"}


def epoch(source: Path) -> float:
    """Images per second of one epoch, from the first batch on: processes start before it."""
    dataset = Folders(source, size=SIZE)
    loader = iter(batches(dataset, BATCH, 0, range(len(dataset) // BATCH), workers=WORKERS))
    next(loader)
    start = time.perf_counter()
    count = BATCH * sum(1 for _ in loader)
    return count / (time.perf_counter() - start)


def opening(source: Path) -> float:
    """Seconds until a data set knows its images."""
    start = time.perf_counter()
    Folders(source, size=SIZE)
    return time.perf_counter() - start


def forget(source: Path) -> None:
    """Drops the files of a folder from the system's cache."""
    for path in source.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def alternate(sources: dict[str, Path], measure: Callable[[Path], float], cold: bool = False) -> dict[str, Any]:
    """The median of a measure for each source, and the median ratio of the shards' to the folder's."""
    values: dict[str, list[float]] = {name: [] for name in sources}
    for number in range(ROUNDS):
        for name in sorted(sources, reverse=bool(number % 2)):
            if cold:
                forget(sources[name])
            values[name].append(measure(sources[name]))
    ratios = [shards / folder for shards, folder in zip(values["shards"], values["folder"], strict=True)]
    return {**{name: statistics.median(each) for name, each in values.items()}, "ratio": statistics.median(ratios)}


def waiting(source: Path, out: Path) -> float:
    """The share of the time that training waits for images, as the run states it."""
    run = stylekit.train(
        "cyclegan",
        content=source,
        style=source,
        out=out,
        size=128,
        steps=STEPS,
        workers=WORKERS,
        device="cpu",
        set=NETWORKS,
    )
    (session,) = json.loads((run / "run.json").read_text())["sessions"]
    return float(session["share_of_time_waiting_for_data"])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--record", action="store_true", help="write benchmarks/results/loading.json")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        sources = make(Path(name))
        files = [path for path in sources["folder"].iterdir() if path.is_file()]
        results = {
            "torch": torch.__version__,
            "cores": os.cpu_count(),
            "images": len(files),
            "side": SIDE,
            "kilobytes": round(sum(path.stat().st_size for path in files) / len(files) / 1000, 1),
            "shards": len(list(sources["shards"].glob("*.tar"))),
            "size": SIZE,
            "workers": WORKERS,
            "steps": STEPS,
            "images per second": alternate(sources, epoch),
            "images per second, cold": alternate(sources, epoch, cold=True),
            "seconds to open": alternate(sources, opening),
            "seconds to open, cold": alternate(sources, opening, cold=True),
            "waiting": {key: waiting(source, Path(name) / f"run-{key}") for key, source in sources.items()},
        }
    print(json.dumps(results, indent=1))
    if options.record:
        (RESULTS / "loading.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
