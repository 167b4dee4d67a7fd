"""Large pictures in tiles: how much they differ from the same picture at once, time, and memory.

    python benchmarks/large.py [--model stylekit-any ...] [--record]

quality  a drawn scene of 2048 x 2048 pixels, at once and in tiles of 512 pixels, with each kind of statistics: the mean and the
         largest difference in levels of 255, and how much steeper the picture is across the borders of tiles than elsewhere,
         divided by that of the picture at once: above 1, borders show
size     a picture of 10,000 x 10,000 pixels as a PNG file, in a process of its own with ``--max-memory``: seconds, gigapixels
         an hour, and the peak of the memory that the process used

``--record`` writes benchmarks/results/large.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
import stylekit
from benchmarks.figures import RESULTS
from benchmarks.process import run
from stylekit import images
from stylekit.images.png import write_png
from stylekit.images.writing import to_channels
from stylekit.inference.tiles import Sharing, Tiles
from stylekit_plugins.datasets.scenes import render

SIDE, TILE = 2048, 512
LARGE, BLOCK = 10_000, 2000
"""Sides of the huge picture, and of the picture that it repeats."""
KINDS: Mapping[str, Sequence[Sharing]] = {
    "stylekit-any": ("sampled", "thumbnail", "local"),
    "color-pca": ("exact", "sampled", "thumbnail", "local"),
}
"""What is compared by default: the model that ships has 36 statistics, so that exact ones would take 36 passes."""


def scene(side: int) -> Tensor:
    """A large picture: four drawn scenes, and noise as of a camera."""
    quarter = -(-side // 2)
    parts = [images.resize(render(index, "photo", 512)[None], (quarter, quarter)) for index in range(4)]
    whole = torch.cat([torch.cat(parts[:2], 3), torch.cat(parts[2:], 3)], 2)[..., :side, :side]
    noise = torch.randn(whole.shape, generator=torch.Generator().manual_seed(0))
    return (whole + 0.02 * noise).clamp(0, 1)


def border_step(image: Tensor) -> float:
    """How much steeper an image is across the borders of tiles than elsewhere."""
    ratios = []
    for each in (image, image.transpose(2, 3)):
        steps = (each[..., 1:] - each[..., :-1]).abs().mean((0, 1, 2))
        at = torch.zeros_like(steps, dtype=torch.bool)
        at[TILE - 1 :: TILE] = True
        ratios.append(steps[at].mean() / steps[~at].mean())
    return float(torch.stack(ratios).mean())


def compare(name: str, kinds: Sequence[Sharing]) -> dict[str, dict[str, float]]:
    """The differences of tiled pictures from the whole one, by the kind of statistics."""
    model = stylekit.load(name, "cpu")
    style = model.style(render(100, "strokes", 512)[None])
    content = scene(SIDE)
    start = time.perf_counter()
    whole = model.stylize(content, style)
    found = {"at once": {"seconds": time.perf_counter() - start}}
    for kind in kinds:
        start = time.perf_counter()
        tiled = model.stylize(content, style, tiles=Tiles(TILE, kind))
        difference = 255 * (tiled - whole).abs()
        found[kind] = {
            "seconds": time.perf_counter() - start,
            "mean": float(difference.mean()),
            "largest": float(difference.max()),
            "border": border_step(tiled) / border_step(whole),
        }
        print(name, kind, {key: round(value, 4) for key, value in found[kind].items()}, flush=True)
    return found


def huge(name: str, memory: str, side: int) -> dict[str, Any]:
    """Stylises a huge picture by the command line; returns seconds, and the peak of the memory in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        source, style, target = (Path(folder) / file for file in ("large.png", "style.png", "out.png"))
        values = to_channels(images.Picture(scene(BLOCK)), 8)
        wide = np.tile(values, (1, -(-side // BLOCK), 1))[:, :side]
        with source.open("wb") as file:
            bands = (wide[: min(BLOCK, side - top)] for top in range(0, side, BLOCK))
            write_png(file, (side, side, 3), bands, images.Metadata())
        images.write(style, render(100, "strokes", 512))
        command = [sys.executable, "-m", "stylekit", "stylize", source, "--style", style, "-o", target, "--model", name]
        used = run([*command, "--max-memory", memory, "--quiet"])
        assert images.size(target) == (side, side)
    return {
        "side": side,
        "allowed": memory,
        "seconds": used.seconds,
        "gigapixels_an_hour": side**2 / 1e9 / used.seconds * 3600,
        "peak": used.peak,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", choices=list(KINDS), help="which models; by default all")
    parser.add_argument("--memory", default="2GB", help="what the process may use for the huge picture")
    parser.add_argument("--side", type=int, default=LARGE, help="side of the huge picture; 0: leave it out")
    parser.add_argument("--record", action="store_true", help="write benchmarks/results/large.json")
    options = parser.parse_args()
    report: dict[str, Any] = {
        "side": SIDE,
        "tile": TILE,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    if options.side:
        report["huge"] = huge("stylekit-any", options.memory, options.side)
        print(report["huge"], flush=True)
    report["models"] = {name: compare(name, KINDS[name]) for name in options.model or KINDS}
    if options.record:
        (RESULTS / "large.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
