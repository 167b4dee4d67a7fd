"""Judges stylised pictures: how much of the content is left, how near the style is, what was spoilt, how long it took.

    python benchmarks/judge.py --content DIR --style DIR --model color-pca --model "gatys steps=60" -o grid.png

Every content meets every style, and each figure is the median over the pairs. Distances are seen through a VGG-19 of random
filters, which nobody trained a method with: random networks measure style, well enough to make pictures by (He et al. 2016,
"A powerful generative model using random weights for the deep image representation").

content   the picture in grey, with its mean and contrast taken out: the squared error of its features at relu3_1 and
          relu4_1, after an instance norm, relative to the content's own; 0 if nothing changed, about 2 of unrelated pictures
style     the squared error of the Gram matrices at relu1_1 to relu4_1, relative to the style's own
texture   the same of the covariances: a Gram matrix of random filters tells of the mean colour before anything else
clipped   the share of pixels of which a channel is black or full
blotches  fine noise that was added where the content is flat, in steps of 8 bits

Random filters know nothing of objects, nor of what is beautiful: the numbers compare methods on the same pictures, no more.
Two rows that need no method, the content and the style themselves, show the ends of each scale. Look at the grid as well.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

import stylekit
from stylekit import images, make
from stylekit.datasets.files import find_images
from stylekit.errors import StylekitError
from stylekit.inference.model_files import resolve_model_file as find_model
from stylekit.ops import gram_matrix, instance_norm
from stylekit.training.sample_grid import grid
from stylekit.training.settings import read_assignments
from stylekit_plugins.datasets.scenes import render
from stylekit_plugins.datasets.textures import KINDS, draw

ENCODER = {"name": "vgg19", "weights": "random"}
CONTENT_LAYERS = ("relu3_1", "relu4_1")
LUMA = torch.tensor([0.299, 0.587, 0.114])
FLAT = 0.2
"""Which share of a content, its flattest, is searched for blotches."""
DRAWN = "drawn by stylekit"


@dataclass(frozen=True)
class Marks:
    """What a stylised picture is judged by; of each, less is better.

    Attributes:
        content: distance from the content, whatever the colours
        style: distance from the style, by Gram matrices
        texture: distance from the style, by covariances
        clipped: share of the pixels that are at an end of the scale in a channel
        blotches: noise where the content is flat, in steps of 8 bits
        seconds: that it took
    """

    content: float
    style: float
    texture: float
    clipped: float
    blotches: float
    seconds: float


@dataclass(frozen=True)
class Seen:
    """What the encoder gave for one picture, as far as distances need it."""

    content: list[Tensor]
    grams: list[Tensor]
    covariances: list[Tensor]


class Judge:
    """Looks at pictures ``(1, 3, H, W)`` in [0, 1] through the encoder."""

    def __init__(self) -> None:
        self.encoder = make("encoder", ENCODER)

    @torch.no_grad()
    def look(self, image: Tensor) -> Seen:
        """Sees a picture once, for many comparisons."""
        features, shapes = self.encoder(image), self.encoder(lightness(image))
        return Seen(
            [instance_norm(shapes[layer]) for layer in CONTENT_LAYERS],
            [gram_matrix(each) for each in features.values()],
            [gram_matrix(each - each.mean((2, 3), keepdim=True)) for each in features.values()],
        )


def marks(output: Tensor, content: Tensor, of_output: Seen, of_content: Seen, of_style: Seen, seconds: float) -> Marks:
    """Compares an output, as a picture and as seen, with the content that it was made of and the style."""
    return Marks(
        content=distance(of_output.content, of_content.content),
        style=distance(of_output.grams, of_style.grams),
        texture=distance(of_output.covariances, of_style.covariances),
        clipped=clipped(output),
        blotches=blotches(output, content),
        seconds=seconds,
    )


def lightness(image: Tensor) -> Tensor:
    """The picture in grey, of one mean and one contrast: what it shows, whatever its colours.

    Random filters take a darker picture for another one, as their rectifiers cut elsewhere.
    """
    luma = (image * LUMA[:, None, None].to(image)).sum(1, keepdim=True)
    return (0.5 + 0.2 * instance_norm(luma)).expand_as(image)


def distance(mine: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    """The squared error relative to the other's square, as the mean over layers."""
    shares = [(a - b).square().sum() / b.square().sum().clamp(min=1e-12) for a, b in zip(mine, theirs, strict=True)]
    return float(torch.stack(shares).mean())


def clipped(image: Tensor) -> float:
    """The share of pixels of which a channel is 0 or 255 when it is written."""
    levels = (image * 255).round()
    return float(((levels <= 0) | (levels >= 255)).any(1).float().mean())


def blotches(output: Tensor, content: Tensor) -> float:
    """How much fine noise was added where the content is flat: its root mean square, in steps of 8 bits.

    Fine is what a mean over 5 x 5 pixels takes out. The flattest pixels are those with the least of it around them in the
    content, by rank: a picture that is flat all over has no more of them than others. A style's own strokes count as well.
    """
    theirs, mine = _fine(content), _fine(output)
    around = F.avg_pool2d(theirs, 9, 1, 4, count_include_pad=False)
    flattest = around.flatten().argsort(stable=True)[: max(1, int(FLAT * around.numel()))]
    added = mine.flatten()[flattest].mean() - theirs.flatten()[flattest].mean()
    return 255 * float(added.clamp(min=0).sqrt())


def _fine(image: Tensor) -> Tensor:
    """The square of what is fine in the picture, as the mean over the colours: ``(1, 1, H, W)``."""
    blurred = F.avg_pool2d(F.pad(image, (2, 2, 2, 2), mode="replicate"), 5, 1)
    return (image - blurred).square().mean(1, keepdim=True)


Pictures = Mapping[str, Tensor]
Stylise = Callable[[Tensor, str], Tensor]
"""Makes the picture of a content, and of a style by its name."""


def median(rows: Sequence[Marks]) -> Marks:
    return Marks(*(statistics.median(column) for column in zip(*map(astuple, rows), strict=True)))


def compare(
    judge: Judge, contents: Pictures, styles: Pictures, models: Mapping[str, Stylise]
) -> tuple[dict[str, dict[str, dict[str, Marks]]], dict[str, dict[tuple[str, str], Tensor]]]:
    """Stylises every content with every style.

    Returns:
        Marks by model, content and style; and by model the outputs of the pairs on the sheet.
    """
    seen = {id(image): judge.look(image) for image in (*contents.values(), *styles.values())}
    rows = shown(contents, styles)
    found: dict[str, dict[str, dict[str, Marks]]] = {model: {content: {} for content in contents} for model in models}
    kept: dict[str, dict[tuple[str, str], Tensor]] = {model: {} for model in models}
    for model, content, style in itertools.product(models, contents, styles):
        image = contents[content]
        start = time.perf_counter()
        output = models[model](image, style)
        took = time.perf_counter() - start
        of_output = seen.get(id(output)) or judge.look(output)
        found[model][content][style] = marks(output, image, of_output, seen[id(image)], seen[id(styles[style])], took)
        if (content, style) in rows:
            kept[model][content, style] = output
    return found, kept


def shown(contents: Pictures, styles: Pictures) -> list[tuple[str, str]]:
    """The pairs on the sheet: every content and every style once at least."""
    count = max(len(contents), len(styles))
    return [(list(contents)[row % len(contents)], list(styles)[row % len(styles)]) for row in range(count)]


def references(styles: Pictures) -> dict[str, Stylise]:
    """The rows that need no method: nothing done, and everything."""
    return {"content, untouched": lambda content, style: content, "style itself": lambda content, style: styles[style]}


def with_model(name: str, styles: Pictures) -> Stylise:
    """A model by its name or file, and perhaps arguments, as in ``gatys steps=60``; it looks at each style once.

    Raises:
        StylekitError: there is no such model, or it takes no styles.
    """
    source, *arguments = shlex.split(name)
    model = stylekit.load(source, device="cpu", **read_assignments(arguments))
    known = {style: model.style(image) for style, image in styles.items()}
    return lambda content, style: model.stylize(content, known[style])


def weights(model: str) -> str | None:
    """A digest of a model's file; none of a method without training."""
    path = Path(shlex.split(model)[0])
    return hashlib.sha256(find_model(path).read_bytes()).hexdigest()[:16] if path.exists() else None


def read_folder(folder: Path, size: int, count: int) -> Pictures:
    """So many pictures from all over a folder, by their names: the middle square of each, at that size.

    Raises:
        StylekitError: there is no picture.
    """
    files = find_images(folder)
    if not files:
        raise StylekitError(f"There is no picture in {folder}.")
    chosen = [files[index * len(files) // count] for index in range(min(count, len(files)))] if count else files
    return {file.relative_to(folder).as_posix(): square(images.read(file, least=size), size) for file in chosen}


def square(picture: images.Picture, size: int) -> Tensor:
    image = images.over_white(picture.image, picture.alpha)
    height, width = image.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return images.resize(image[..., top : top + side, left : left + side], (size, size))


def drawn(size: int, count: int) -> tuple[Pictures, Pictures]:
    """Contents and styles that stylekit draws, where no folders are given."""
    contents = {f"scene {index}": render(index, size=size)[None] for index in range(count)}
    return contents, {kind: draw(kind, size, "judge")[None] for kind in list(KINDS)[:count]}


def digest(image: Tensor) -> str:
    return hashlib.sha256(images.to_pil(image).tobytes()).hexdigest()[:16]


def report(
    options: argparse.Namespace, contents: Pictures, styles: Pictures, found: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything that is needed to do it again, and what came out."""
    return {
        "models": {model: weights(model) for model in found},
        "encoder": ENCODER,
        "size": options.size,
        "count": options.count,
        "seed": 0,
        "contents": {name: digest(image) for name, image in contents.items()},
        "styles": {name: digest(image) for name, image in styles.items()},
        "versions": {
            "stylekit": stylekit.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "threads": torch.get_num_threads(),
        "medians": {model: asdict(median(flat(rows))) for model, rows in found.items()},
        "pairs": {
            model: {c: {s: asdict(each) for s, each in row.items()} for c, row in rows.items()}
            for model, rows in found.items()
        },
    }


def flat(rows: Mapping[str, Mapping[str, Marks]]) -> list[Marks]:
    return [each for row in rows.values() for each in row.values()]


def table(found: Mapping[str, Mapping[str, Mapping[str, Marks]]]) -> Table:
    """The medians, a row a model."""
    made = Table("", *(field.name for field in fields(Marks)))
    for model, rows in found.items():
        middle = median(flat(rows))
        told = [f"{middle.content:.3f}", f"{middle.style:.3f}", f"{middle.texture:.3f}", f"{middle.clipped:.1%}"]
        made.add_row(model, *told, f"{middle.blotches:.1f}", f"{middle.seconds:.2f}")
    return made


def sheet(contents: Pictures, styles: Pictures, outputs: Mapping[str, Mapping[tuple[str, str], Tensor]]) -> Tensor:
    """A row a pair: the content, the style, and what each model made of them."""
    rows = [
        [contents[content][0], styles[style][0], *(made[content, style][0] for made in outputs.values())]
        for content, style in shown(contents, styles)
    ]
    return grid(rows, ["content", "style", *map(caption, outputs)])


def caption(model: str) -> str:
    """A model's name without arguments, or the end of its path."""
    return "/".join(shlex.split(model)[0].split("/")[-2:])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--content", type=Path, help="folder of contents (default: scenes that stylekit draws)")
    parser.add_argument("--style", type=Path, help="folder of styles (default: textures that stylekit draws)")
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help="a model file, a run's or a checkpoint's folder, or a method without training; arguments may follow it, as in "
        "'gatys steps=60' (default: color-pca)",
    )
    parser.add_argument("--size", type=int, default=256, help="side of the pictures in pixels")
    parser.add_argument("--count", type=int, default=8, help="how many pictures are taken of each folder; 0: all")
    parser.add_argument("-o", "--out", type=Path, help="sheet of pictures")
    parser.add_argument("--json", type=Path, help="file for all figures and how they came about")
    options = parser.parse_args(arguments)

    contents, styles = drawn(options.size, options.count or len(KINDS))
    if options.content:
        contents = read_folder(options.content, options.size, options.count)
    if options.style:
        styles = read_folder(options.style, options.size, options.count)
    chosen = {name: with_model(name, styles) for name in options.model or ["color-pca"]}
    found, outputs = compare(Judge(), contents, styles, {**references(styles), **chosen})

    Console(highlight=False).print(table(found))
    if options.out:
        images.write(options.out, sheet(contents, styles, {name: outputs[name] for name in chosen}))
    if options.json:
        options.json.write_text(json.dumps(report(options, contents, styles, found), indent=2) + "\n")


if __name__ == "__main__":
    try:
        main()
    except StylekitError as error:
        sys.exit(str(error))
