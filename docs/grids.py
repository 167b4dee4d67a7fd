"""Writes the image grids of the documentation: generated photos in generated styles, by the bundled model and others.

    python docs/grids.py [--looks RUN ...]

stylekit generates all images, so the grids have no licence restrictions and can be reproduced. With runs of content-gan, named
after their looks, ``looks.jpg`` is written instead: each look, and the last one with its knob at three values.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import stylekit
from stylekit import images, make
from stylekit.training.sample_grid import grid

HERE = Path(__file__).parent
SIDE, SHOWN = 448, 224
"""Side of the stylised images, and of the images in the grids, in pixels."""
SCENES = (6, 14, 15)
STYLES = (("strokes", 0), ("strokes", 6), ("stripes", 4), ("leaves", 2), ("cells", 1))
RIVALS: dict[str, dict[str, Any]] = {"color-pca": {}, "stylekit-any": {}, "gatys": {"steps": 150}}


def drawn(name: str, key: str, number: int, **options: object) -> Tensor:
    """An image ``(1, 3, SIDE, SIDE)`` of a generated data set."""
    item: Tensor = make("dataset", {"name": name, "split": "test", **options}, size=SIDE)[number][key]
    return item[None]


KNOB = (1.0, 0.5, 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--looks", type=Path, nargs="+", default=[], metavar="RUN")
    runs = parser.parse_args().looks
    torch.set_grad_enabled(False)
    looks(runs) if runs else shipped_and_others()


def looks(runs: list[Path]) -> None:
    """Contents in the look of each run, and in that of the last with its knob at three values."""
    models, contents = [stylekit.load(run) for run in runs], [drawn("scenes", "content", number) for number in SCENES]
    rows = [
        [
            content,
            *(model.stylize(content) for model in models),
            *(models[-1].stylize(content, content=value) for value in KNOB),
        ]
        for content in contents
    ]
    write("looks.jpg", rows, ("content", *(run.name for run in runs), *(f"content={value:g}" for value in KNOB)))


def shipped_and_others() -> None:
    """The model that ships in several styles, and beside others."""
    contents = [drawn("scenes", "content", number) for number in SCENES]
    styles = [drawn("textures", "style", number, kinds=[kind]) for kind, number in STYLES]
    models = {name: stylekit.load(name, **options) for name, options in RIVALS.items()}
    shipped = models["stylekit-any"]
    described = [shipped.style(style) for style in styles]
    rows = [[torch.ones_like(contents[0]), *styles]]
    rows += [[content, *(shipped.stylize(content, style) for style in described)] for content in contents]
    write("any_style.jpg", rows, ())
    pairs = [(contents[0], styles[0]), (contents[1], styles[2]), (contents[2], styles[3])]
    rows = [[content, style, *(model.stylize(content, style) for model in models.values())] for content, style in pairs]
    write("rivals.jpg", rows, ("content", "style", *models))


def write(name: str, rows: list[list[Tensor]], labels: tuple[str, ...]) -> None:
    reduced = [[images.resize(image, (SHOWN, SHOWN))[0] for image in row] for row in rows]
    images.write(HERE / name, grid(reduced, labels))


if __name__ == "__main__":
    main()
