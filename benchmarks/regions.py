"""Optimising a picture region by region, compared with optimising it at once.

    python benchmarks/regions.py CONTENT STYLE [--side 512] [--tile 256] [--steps 100] [--encoder random] [--out FOLDER]

at once  the whole picture
whole    regions, whose statistics are those of the whole picture, updated after each region, as stylekit does
pass     the same, updated after each pass over the picture only
own      regions that have only their own statistics, as if each was a picture

For each: the loss of the whole picture, how much steeper the picture is across the borders of regions than elsewhere, relative
to the picture at once, and the mean difference from it in levels of 255.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
import stylekit
from stylekit import images
from stylekit.inference.tiles import Regions, SharedStatistics, Tiles
from stylekit.method import OptimizingMethod

VARIANTS = ("whole", "pass", "own")


def square(path: Path, side: int) -> Tensor:
    """The middle of a picture, with that side."""
    image = images.read(path).image
    height, width = image.shape[2:]
    factor = side / min(height, width)
    image = images.resize(image, (max(side, round(height * factor)), max(side, round(width * factor))))
    top, left = (image.shape[2] - side) // 2, (image.shape[3] - side) // 2
    return image[..., top : top + side, left : left + side]


def border_step(image: Tensor, tile: int) -> float:
    """How much steeper an image is across the borders of regions than elsewhere."""
    ratios = []
    for each in (image, image.transpose(2, 3)):
        steps = (each[..., 1:] - each[..., :-1]).abs().mean((0, 1, 2))
        at = torch.zeros_like(steps, dtype=torch.bool)
        at[tile - 1 :: tile] = True
        ratios.append(steps[at].mean() / steps[~at].mean())
    return float(torch.stack(ratios).mean())


@contextmanager
def varied(variant: str) -> Iterator[None]:
    """Makes the engine work in another way."""
    region: Any = Regions._optimize_region

    def unchanged(self: Regions, image: Tensor, piece: Any, objective: Any, whole: Any, *others: Any) -> Any:
        region(self, image, piece, objective, whole, *others)
        return whole

    changes = {
        "whole": (Regions, "_optimize_region", region),
        "pass": (Regions, "_optimize_region", unchanged),
        "own": (SharedStatistics, "compute_joined", lambda self, run, core: run()),
    }
    with mock.patch.object(*changes[variant]):
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("content", type=Path)
    parser.add_argument("style", type=Path)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--tile", type=int, default=256)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--levels", type=int, default=3)
    parser.add_argument("--encoder", default="vgg19", choices=["vgg19", "random"], help="random has 4 scales, 16 wide")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--out", type=Path, help="folder for the pictures")
    options = parser.parse_args()
    content, style = square(options.content, options.side), square(options.style, options.side)
    encoder = {"name": "random", "scales": 4, "width": 16} if options.encoder == "random" else options.encoder
    model = stylekit.load("gatys", "cpu", steps=options.steps, levels=options.levels, encoder=encoder)
    described = model.style(style)
    assert isinstance(model.method, OptimizingMethod)
    loss = model.method.objective(content, described.statistics)

    def stylized(name: str, tiles: Tiles | None) -> Tensor:
        start = time.perf_counter()
        made = model.stylize(content, described, tiles=tiles)
        seconds = time.perf_counter() - start
        with torch.no_grad():
            print(f"{name}: loss {float(loss(made)):.4f}, {seconds:.0f} s", end="", flush=True)
        if options.out:
            images.write(options.out / f"{name.replace(' ', '-')}.png", made)
        return made

    whole = stylized("at once", None)
    print()
    for variant in options.variants:
        with varied(variant):
            made = stylized(variant, Tiles(options.tile))
        border = border_step(made, options.tile) / border_step(whole, options.tile)
        print(f", border {border:.3f}, difference {255 * float((made - whole).abs().mean()):.2f}", flush=True)


if __name__ == "__main__":
    main()
