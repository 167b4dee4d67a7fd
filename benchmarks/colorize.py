"""Measures a colouriser on held-out pictures, of which it gets only the lightness, beside grey and a single tint.

    python benchmarks/colorize.py [--runs runs/restore] --holdout DIR [DIR ...] [--sheets FOLDER] [--record]

The colouriser that ships is measured, or that of ``--runs``, a folder of ``examples/restore/train.sh``. ``--sheets`` writes the
results, side by side. ``--record`` writes benchmarks/results/colorize.json.

Figures, in 8 bits: the root of the mean squared distance in a and b of CIELAB, of each picture, then averaged; the PSNR in red,
green and blue; the mean chroma; and the distance of the distributions of chroma, over all pictures of a folder (Wasserstein-1:
the mean distance of their quantiles). The single tint is the mean a and b of these very pictures. Hints are squares of the mean
true colour, at random points, with a fiftieth of the shorter side.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
import stylekit
from benchmarks.figures import RESULTS
from benchmarks.shipped import restorer
from benchmarks.tables.records import read
from stylekit import images, make
from stylekit.datasets import find_images
from stylekit.errors import StylekitError
from stylekit.images.color import from_lab, to_lab
from stylekit.training.sample_grid import grid

Colouring = Callable[[int, Tensor], Tensor]
"""Colours a picture ``(1, 3, H, W)`` in [0, 1], given its number."""
HINTS = 10
QUANTILES = 1000
SHOWN = 160
"""Shorter side of the pictures on a sheet."""
OWN = "`stylekit-restore-colorize`"


def tinted(image: Tensor, tint: Sequence[float]) -> Tensor:
    """The lightness of an image with one a and b."""
    light = to_lab(image)[:, :1]
    return from_lab(torch.cat([light, *(torch.full_like(light, each) for each in tint)], 1))


def true_dots(image: Tensor, number: int, count: int = HINTS) -> Tensor:
    """Hints ``(1, 4, H, W)``: squares of the true colours at random points, the same in every run."""
    generator = torch.Generator().manual_seed(number)
    height, width = image.shape[2:]
    side = max(1, round(0.02 * min(height, width)))
    layer = torch.zeros(1, 4, height, width)
    for _ in range(count):
        top = int(torch.randint(height - side + 1, (), generator=generator))
        left = int(torch.randint(width - side + 1, (), generator=generator))
        where = (slice(None), slice(None), slice(top, top + side), slice(left, left + side))
        color = image[where].mean((2, 3), keepdim=True)
        layer[where] = torch.cat([color, torch.ones(1, 1, 1, 1)], 1).expand(-1, -1, side, side)
    return layer


def ways(model: stylekit.Model, pictures: Sequence[Tensor]) -> dict[str, Colouring]:
    """What is compared, by the name in the table."""
    mean = torch.stack([to_lab(each)[0, 1:].mean((1, 2)) for each in pictures]).mean(0).tolist()
    return {
        "grey": lambda number, image: tinted(image, (0, 0)),
        "one tint": lambda number, image: tinted(image, mean),
        OWN: lambda number, image: model.stylize(image),
        f"{OWN}, `sample=1`": lambda number, image: model.stylize(image, sample=1),
        f"{OWN}, {HINTS} true hints": lambda number, image: model.stylize(image, hints=true_dots(image, number)),
    }


def chroma(image: Tensor) -> Tensor:
    """The distance of each pixel from grey, in a and b."""
    distance: Tensor = to_lab(image)[:, 1:].square().sum(1).sqrt()
    return distance.flatten()


def quantiles(values: Sequence[Tensor]) -> Tensor:
    """The quantiles of values that are pooled; each picture counts the same."""
    steps = (torch.arange(QUANTILES) + 0.5) / QUANTILES
    each = torch.stack([torch.quantile(one[:: max(1, len(one) // 2**20)], steps) for one in values])
    return torch.quantile(each.flatten(), steps)


def measure(colour: Colouring, pictures: Sequence[Tensor]) -> dict[str, Any]:
    """The figures of each picture and of all, and the outputs in 8 bits."""
    outputs = [colour(number, image) for number, image in enumerate(pictures)]
    outputs = [output.clamp(0, 1).mul(255).round().div(255) for output in outputs]
    psnr = make("metric", "psnr")
    pairs = list(zip(outputs, pictures, strict=True))
    distances = [
        (to_lab(output)[:, 1:] - to_lab(truth)[:, 1:]).square().sum(1).mean().sqrt() for output, truth in pairs
    ]
    found, true = (quantiles([chroma(each) for each in side]) for side in (outputs, pictures))
    return {
        "ab": [float(each) for each in distances],
        "psnr": [float(psnr(*pair)) for pair in pairs],
        "chroma": float(found.mean()),
        "distribution": float((found - true).abs().mean()),
        "outputs": outputs,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, help="folder of the run colorize, and its model")
    parser.add_argument("--holdout", type=Path, nargs="+", required=True, help="folders of pictures to measure on")
    parser.add_argument("--names", nargs="+", help="names of these folders in the table; by default their own")
    parser.add_argument("--most", type=int, default=100, help="largest number of pictures of a folder")
    parser.add_argument("--sheets", type=Path, help="folder for sheets")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args(arguments)

    record = RESULTS / "colorize.json"
    model, card = restorer("colorize", options.runs, (read("colorize") or {"model": {}})["model"])
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for name, folder in zip(options.names or [each.name for each in options.holdout], options.holdout, strict=True):
        pictures = [images.read_over_white(path) for path in find_images(folder)[: options.most]]
        found = {label: measure(colour, pictures) for label, colour in ways(model, pictures).items()}
        if options.sheets:
            options.sheets.mkdir(parents=True, exist_ok=True)
            write_sheets(
                options.sheets, name, {**{label: row["outputs"] for label, row in found.items()}, "truth": pictures}
            )
        rows[name] = {label: summary(row, pictures) for label, row in found.items()}
        for label, row in rows[name].items():
            print(f"{name}, {label}: " + ", ".join(f"{key} {value:.4g}" for key, value in row.items()))
    if options.record:
        text = json.dumps({"torch": torch.__version__, "model": card, "rows": rows}, indent=1)
        record.write_text(text + "\n")


def write_sheets(folder: Path, name: str, columns: Mapping[str, Sequence[Tensor]], rows: int = 10) -> None:
    """Writes sheets of the results, ten pictures each."""
    lines = [[reduced(column[number]) for column in columns.values()] for number in range(len(columns["truth"]))]
    labels = [label.replace("`", "") for label in columns]
    for start in range(0, len(lines), rows):
        images.write(folder / f"{name}-{start // rows + 1}.png", grid(lines[start : start + rows], labels))


def reduced(image: Tensor) -> Tensor:
    """A picture ``(3, h, w)`` for a sheet."""
    size = images.scaled((image.shape[2], image.shape[3]), SHOWN / min(image.shape[2:]))
    return images.resize(image, size)[0]


def summary(row: Mapping[str, Any], pictures: Sequence[Tensor]) -> dict[str, float]:
    """The means over the pictures."""
    means = {key: statistics.mean(row[key]) for key in ("ab", "psnr")}
    own = {key: row[key] for key in ("chroma", "distribution")}
    true = float(quantiles([chroma(each) for each in pictures]).mean())
    return {**means, **own, "true_chroma": true, "pictures": len(pictures)}


if __name__ == "__main__":
    try:
        main()
    except StylekitError as error:
        sys.exit(str(error))
