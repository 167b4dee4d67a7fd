"""Writes docs/methods/NAME.jpg, a small picture of what each built-in method makes of drawn images.

    nice python docs/method_pictures.py [NAME ...] [--microast FILE]

stylekit draws all inputs, so the pictures have no licence restrictions and can be reproduced. Methods that must be trained are
trained for half a minute to two minutes of one core each, far less than they need. MicroAST's weights are given as the
file that `stylekit import` writes.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import stylekit
from stylekit import images, make
from stylekit.inference import Model
from stylekit.training.sample_grid import grid

PICTURES = Path(__file__).resolve().with_name("methods")
TRAINED, STYLED, SHOWN, QUALITY = 64, 256, 128, 80
"""Sides of the images in training, of those that get a style and of those in the pictures, in pixels; quality of the files."""
NUMBERS = (6, 14, 15)
MANNERS = ("outlined", "photo", "strokes", "watercolour")
STYLES = (("strokes", 0), ("stripes", 4), ("leaves", 2))
JUDGE = {"name": "patch", "layers": 2, "width": 16}
"""A small discriminator."""
Sheet = tuple[Sequence[str], list[list[Tensor]]]
"""The captions of the columns, and rows of images ``(1, 3, H, W)``."""


def scenes(key: str = "content", size: int = TRAINED) -> list[Tensor]:
    """Held-out scenes: photographs (``content``), or the same scenes as paintings (``style``)."""
    drawn = make("dataset", {"name": "scenes", "split": "test"}, size=size)
    return [drawn[number][key][None] for number in NUMBERS]


def textures() -> list[Tensor]:
    return [
        make("dataset", {"name": "textures", "split": "test", "kinds": [kind]}, size=STYLED)[number]["style"][None]
        for kind, number in STYLES
    ]


def painted(model: Model) -> Sheet:
    """Photographs, what the model makes of them, and the true paintings."""
    rows = [[photo, model.stylize(photo), truth] for photo, truth in zip(scenes(), scenes("style"), strict=True)]
    return ("content", "output", "true painting"), rows


def both_ways(model: Model) -> Sheet:
    pairs = zip(scenes(), scenes("style"), strict=True)
    rows = [[photo, model.stylize(photo), art, model.stylize(art, direction="b-to-a")] for photo, art in pairs]
    return ("content", "a-to-b", "style", "b-to-a"), rows


def domains(model: Model) -> Sheet:
    rows = [[photo, *(model.stylize(photo, style) for style in MANNERS)] for photo in scenes()]
    return ("content", *MANNERS), rows


def drawn(model: Model) -> Sheet:
    samples = model.sample(12, seed=0)
    return (), [[each[None] for each in row] for row in samples.split(4)]


def coded(model: Model) -> Sheet:
    """Photographs, their reconstructions, and images drawn from noise."""
    samples = model.sample(6, seed=0).split(1)
    rows = [
        [photo, model.stylize(photo), *pair] for photo, *pair in zip(scenes(), samples[:3], samples[3:], strict=True)
    ]
    return ("content", "reconstructed", "drawn", "drawn"), rows


def styled(model: Model) -> Sheet:
    pairs = zip(scenes(size=STYLED), textures(), strict=True)
    return ("content", "style", "output"), [[photo, style, model.stylize(photo, style)] for photo, style in pairs]


def learned(model: Model) -> Sheet:
    """The model's one style, and photographs in it."""
    rows = [[photo, textures()[0], model.stylize(photo)] for photo in scenes(size=STYLED)]
    return ("content", "style", "output"), rows


def restored(model: Model) -> Sheet:
    """Noisy photographs, what the model makes of them, and the photographs."""
    degrade = make("degradation", "gaussian-noise")
    rows = [[noisy, model.stylize(noisy), photo] for photo in scenes() for noisy in [degrade(photo)]]
    return ("degraded", "restored", "clean"), rows


def coloured(model: Model) -> Sheet:
    """Grey photographs, three ways to colour them, and the photographs."""
    rows = [
        [model.stylize(photo, saturation=0.0), *(model.stylize(photo, sample=number) for number in range(3)), photo]
        for photo in scenes()
    ]
    return ("grey", "typical", "sample 1", "sample 2", "truth"), rows


def coloured_and_styled(model: Model) -> Sheet:
    """Grey photographs, in colour, and in a style too."""
    grey = make("degradation", "grey")
    rows = [
        [grey(photo), model.stylize(photo), style, model.stylize(photo, style)]
        for photo, style in zip(scenes(), textures(), strict=True)
    ]
    return ("grey", "coloured", "style", "both"), rows


@dataclass(frozen=True)
class Recipe:
    """How the picture of a method is made, in a folder with the picture ``style.png``.

    Attributes:
        sheet: makes the picture from a model
        steps: steps of training, of 4 images each; 0: none
        data: the training data, or a function that makes them
        set: arguments of the method
        preset: preset of the method
        side: side of the images in training
    """

    sheet: Callable[[Model], Sheet]
    steps: int = 0
    data: str | Mapping[str, Any] | Callable[[], str | Mapping[str, Any]] = field(
        default_factory=lambda: {"name": "scenes", "length": 200}
    )
    set: Mapping[str, Any] = field(default_factory=dict)
    preset: str | None = "tiny"
    side: int = TRAINED


def manners() -> str:
    """A new folder of scenes in each manner, in the working directory."""
    for manner in MANNERS:
        folder = Path("manners", manner)
        folder.mkdir(parents=True)
        source = make("dataset", {"name": "scenes", "content": manner}, size=TRAINED)
        for number in range(100):
            images.write(folder / f"{number}.png", source[number]["content"])
    return "manners"


def textured() -> dict[str, Any]:
    """Drawn photographs, and textures as styles, in a new folder."""
    for side, name in (("content", "scenes"), ("style", "textures")):
        Path("textured", side).mkdir(parents=True)
        source = make("dataset", name, size=TRAINED)
        for number in range(100):
            images.write(Path("textured", side, f"{number}.png"), source[number][side])
    return {"name": "folders", "data": "textured"}


RECIPES = {
    "cyclegan": Recipe(both_ways, 500),
    "cut": Recipe(painted, 150),
    "enco": Recipe(painted, 150),
    "pix2pix": Recipe(painted, 300, {"name": "scenes", "length": 200, "paired": True}),
    "stargan": Recipe(domains, 600, manners, {"classes": list(MANNERS), "ema": 0.99}),
    "gan": Recipe(drawn, 500, side=32),
    "stylegan": Recipe(drawn, 500, side=32),
    "vae-gan": Recipe(coded, 400, set={"lr": 1e-3}),
    "any-style": Recipe(styled),
    "microast": Recipe(styled),
    "gatys": Recipe(styled),
    "color-pca": Recipe(styled),
    "adain": Recipe(styled, 200, "textures"),
    "wct": Recipe(styled, 200),
    "perceptual": Recipe(learned, 100, set={"styles": ["style.png"]}),
    "restore": Recipe(restored, 400, set={"ema": 0.99, "lr": 2e-3}, preset="denoise"),
    "restore-gan": Recipe(restored, 400, set={"ema": 0.99, "lr": 2e-3, "discriminator": JUDGE}, preset="denoise"),
    "colorize": Recipe(coloured, 600, set={"rebalance": 0.9}),
    "colorstyle": Recipe(coloured_and_styled, 400, textured),
    "student": Recipe(learned, 150, set={"style": "style.png"}),
}


def model_of(name: str, microast: Path | None) -> Model:
    """The model of a method, trained briefly if it must be."""
    recipe = RECIPES[name]
    if name == "gatys":
        return stylekit.load(name, steps=60)
    if not recipe.steps:
        return stylekit.load({"any-style": "stylekit-any", "microast": microast}.get(name) or name)
    run = stylekit.train(
        name,
        preset=recipe.preset,
        data=recipe.data() if callable(recipe.data) else recipe.data,
        set=dict(recipe.set),
        size=recipe.side,
        batch_size=4,
        steps=recipe.steps,
        workers=0,
        out="run",
    )
    return stylekit.load(run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="methods; by default all")
    parser.add_argument("--microast", type=Path, metavar="FILE", help="weights of MicroAST")
    options = parser.parse_args()
    microast = options.microast and options.microast.resolve()
    torch.set_num_threads(1)
    for name in options.names or RECIPES:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            images.write("style.png", textures()[0])
            labels, rows = RECIPES[name].sheet(model_of(name, microast))
        shown = [[images.resize(image, (SHOWN, SHOWN))[0] for image in row] for row in rows]
        images.write(PICTURES / f"{name}.jpg", grid(shown, labels), quality=QUALITY)


if __name__ == "__main__":
    main()
