"""Evaluates stylised images: distance from the content, distance from the style, artefacts, and time.

    python benchmarks/judge.py --content DIR --style DIR --model color-pca --model "gatys steps=60" -o grid.png

Every content is combined with every style (with ``--one-to-one``, the first content with the first style, and so on), and
each figure is the mean over the pairs. Distances are computed with two networks: a VGG-19 trained on ImageNet, with which
some methods were trained too, and a VGG-19 of random weights, with which none was. Random networks measure style well enough
to generate images with (He et al. 2016, "A powerful generative model using random weights for the deep image
representation").

content         the mean squared difference at relu4_1 of the trained VGG-19, after an instance norm; 0 for an unchanged image
style           the squared error of the Gram matrices at relu1_1 to relu5_1 of the trained VGG-19, relative to the style's
content_random  the squared error of the features at relu3_1 and relu4_1 of the random VGG-19 after an instance norm, relative
                to the content's, for grey images with normalised mean and contrast; about 2 for unrelated images
style_random    the squared error of the Gram matrices at relu1_1 to relu4_1 of the random VGG-19, relative to the style's
texture         the same for covariances, because Gram matrices of random filters depend mainly on the mean colour
clipped         the share of pixels with a channel at its minimum or maximum
blotches        fine noise that was added in flat areas of the content, in 8-bit levels

No network measures beauty, so the figures only compare methods on the same images. The two rows "content, untouched" and
"style itself" show the ends of each scale. Look at the grid as well. ``--rival`` adds programs that are installed: see
``benchmarks/rivals.py``.
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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Column, Table
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
import stylekit
from benchmarks.rivals import RIVALS, Pictures, Stylise
from stylekit import images, make
from stylekit.datasets.files import find_images
from stylekit.errors import StylekitError, suggest
from stylekit.inference.model_files import resolve_model_file as find_model
from stylekit.ops import gram_matrix, instance_norm
from stylekit.training.sample_grid import grid
from stylekit.training.settings import read_assignments
from stylekit_plugins.datasets.scenes import render
from stylekit_plugins.datasets.textures import KINDS, draw

TRAINED = {"name": "vgg19", "layers": ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"]}
CONTENT_LAYER = "relu4_1"
RANDOM = {"name": "vgg19", "weights": "random"}
RANDOM_CONTENT_LAYERS = ("relu3_1", "relu4_1")
LUMA = torch.tensor([0.299, 0.587, 0.114])
FLAT = 0.2
"""The share of the content's pixels, the flattest ones, in which blotches are measured."""
DRAWN = "drawn by stylekit"


@dataclass(frozen=True)
class Marks:
    """The figures of a stylised image; lower is better.

    Attributes:
        content: distance from the content, regardless of colours
        style: distance from the style, by Gram matrices
        content_random: distance from the content in the random network
        style_random: distance from the style in the random network, by Gram matrices
        texture: distance from the style in the random network, by covariances
        clipped: share of pixels with a channel at its minimum or maximum
        blotches: noise in flat areas of the content, in 8-bit levels
        seconds: time of stylising
    """

    content: float
    style: float
    content_random: float
    style_random: float
    texture: float
    clipped: float
    blotches: float
    seconds: float


@dataclass(frozen=True)
class Seen:
    """The features and statistics of one image that the distances need."""

    content: Tensor
    grams: list[Tensor]
    random_content: list[Tensor]
    random_grams: list[Tensor]
    random_covariances: list[Tensor]


class Judge:
    """Computes features of images ``(1, 3, H, W)`` in [0, 1] with both encoders."""

    def __init__(self) -> None:
        self.trained, self.random = make("encoder", TRAINED), make("encoder", RANDOM)

    @torch.no_grad()
    def look(self, image: Tensor) -> Seen:
        """Processes an image once, for many comparisons.

        Raises:
            MissingWeights: there are no weights of the trained encoder.
        """
        trained, features, shapes = self.trained(image), self.random(image), self.random(lightness(image))
        return Seen(
            instance_norm(trained[CONTENT_LAYER]),
            [gram_matrix(each) for each in trained.values()],
            [instance_norm(shapes[layer]) for layer in RANDOM_CONTENT_LAYERS],
            [gram_matrix(each) for each in features.values()],
            [gram_matrix(each - each.mean((2, 3), keepdim=True)) for each in features.values()],
        )


def marks(output: Tensor, content: Tensor, of_output: Seen, of_content: Seen, of_style: Seen, seconds: float) -> Marks:
    """Compares an output with its content and its style, given the image, the content and the features of all three."""
    return Marks(
        content=float((of_output.content - of_content.content).square().mean()),
        style=distance(of_output.grams, of_style.grams),
        content_random=distance(of_output.random_content, of_content.random_content),
        style_random=distance(of_output.random_grams, of_style.random_grams),
        texture=distance(of_output.random_covariances, of_style.random_covariances),
        clipped=clipped(output),
        blotches=blotches(output, content),
        seconds=seconds,
    )


def lightness(image: Tensor) -> Tensor:
    """The image in grey, with a fixed mean and contrast: its content, regardless of its colours.

    Without this, a darker image would be far away, because the ReLUs of random filters cut off other values.
    """
    luma = (image * LUMA[:, None, None].to(image)).sum(1, keepdim=True)
    return (0.5 + 0.2 * instance_norm(luma)).expand_as(image)


def distance(mine: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    """The squared error relative to the squared norm of ``theirs``, averaged over layers."""
    errors = [(a - b).square().sum() / b.square().sum().clamp(min=1e-12) for a, b in zip(mine, theirs, strict=True)]
    return float(torch.stack(errors).mean())


def clipped(image: Tensor) -> float:
    """The share of pixels with a channel that is 0 or 255 in an 8-bit file."""
    levels = (image * 255).round()
    return float(((levels <= 0) | (levels >= 255)).any(1).float().mean())


def blotches(output: Tensor, content: Tensor) -> float:
    """The root mean square of fine noise that was added in flat areas of the content, in 8-bit levels.

    Fine noise is the difference from a mean over 5 x 5 pixels. The flat areas are a fixed share of the content's pixels, those
    with the least fine noise around them, so all contents have equally many. Strokes of the style also count as noise.
    """
    before, after = _fine_noise(content), _fine_noise(output)
    local = F.avg_pool2d(before, 9, 1, 4, count_include_pad=False)
    flattest = local.flatten().argsort(stable=True)[: max(1, int(FLAT * local.numel()))]
    added = after.flatten()[flattest].mean() - before.flatten()[flattest].mean()
    return 255 * float(added.clamp(min=0).sqrt())


def _fine_noise(image: Tensor) -> Tensor:
    """The squared fine noise of an image, averaged over the colours: ``(1, 1, H, W)``."""
    blurred = F.avg_pool2d(F.pad(image, (2, 2, 2, 2), mode="replicate"), 5, 1)
    return (image - blurred).square().mean(1, keepdim=True)


def mean(rows: Sequence[Marks]) -> Marks:
    return Marks(*(statistics.mean(column) for column in zip(*map(astuple, rows), strict=True)))


def median(rows: Sequence[Marks]) -> Marks:
    return Marks(*(statistics.median(column) for column in zip(*map(astuple, rows), strict=True)))


def compare(
    judge: Judge,
    contents: Pictures,
    styles: Pictures,
    models: Mapping[str, Stylise],
    pairs: Iterable[tuple[str, str]],
) -> tuple[dict[str, dict[str, dict[str, Marks]]], dict[str, dict[tuple[str, str], Tensor]]]:
    """Stylises pairs of a content and a style, given by their names, with every model.

    The models take turns, so that a busy machine slows all of them.

    Returns:
        The marks by model, content and style; and by model the outputs of the pairs on the sheet.
    """
    seen = {id(image): judge.look(image) for image in (*contents.values(), *styles.values())}
    rows = shown(contents, styles)
    results: dict[str, dict[str, dict[str, Marks]]] = {model: {content: {} for content in contents} for model in models}
    outputs: dict[str, dict[tuple[str, str], Tensor]] = {model: {} for model in models}
    for (content, style), model in itertools.product(pairs, models):
        image = contents[content]
        start = time.perf_counter()
        output = models[model](image, style)
        seconds = time.perf_counter() - start
        of_output, of_style = seen.get(id(output)) or judge.look(output), seen[id(styles[style])]
        results[model][content][style] = marks(output, image, of_output, seen[id(image)], of_style, seconds)
        if (content, style) in rows:
            outputs[model][content, style] = output
    return results, outputs


def shown(contents: Pictures, styles: Pictures) -> list[tuple[str, str]]:
    """The pairs on the sheet, with every content and every style at least once."""
    count = max(len(contents), len(styles))
    return [(list(contents)[row % len(contents)], list(styles)[row % len(styles)]) for row in range(count)]


def references(styles: Pictures) -> dict[str, Stylise]:
    """The rows that need no method: the unchanged content, and the style itself."""

    def itself(content: Tensor, style: str) -> Tensor:
        image, (height, width) = styles[style], content.shape[2:]
        return image if image.shape == content.shape else images.resize(image, (height, width))

    return {"content, untouched": lambda content, style: content, "style itself": itself}


def with_model(name: str, styles: Pictures) -> Stylise:
    """Loads a model by its name or path, optionally with arguments, as in ``gatys steps=60``. Processes each style once.

    A model that has learned its styles knows them by the names of their files.

    Raises:
        StylekitError: there is no such model, or it does not know a style.
    """
    source, *arguments = shlex.split(name)
    model = stylekit.load(source, device="cpu", **read_assignments(arguments))
    learned = not model.method.takes_styles()
    known = {style: model.style(Path(style).stem if learned else image) for style, image in styles.items()}
    return lambda content, style: model.stylize(content, known[style])


def with_rival(name: str, styles: Pictures) -> Stylise:
    """Prepares another program, by its name and its options.

    Raises:
        StylekitError: there is no such rival, or it is not installed.
    """
    source, *arguments = shlex.split(name)
    if source not in RIVALS:
        raise StylekitError(f"There is no rival {source!r}. {suggest(source, RIVALS)}")
    return RIVALS[source](styles, **read_assignments(arguments))


def weights(model: str) -> str | None:
    """A digest of a model's file; None for a method without training."""
    path = Path(shlex.split(model)[0])
    return hashlib.sha256(find_model(path).read_bytes()).hexdigest()[:16] if path.exists() else None


def training(model: str) -> dict[str, Any] | None:
    """How a model was trained, if it is given by the folder of its run: the settings that matter, and the minutes."""
    path = Path(shlex.split(model)[0]) / "run.json"
    if not path.is_file():
        return None
    record = json.loads(path.read_text())
    kept = {key: record["settings"][key] for key in ("plugin", "steps", "batch_size", "size", "set")}
    return {**kept, "minutes": sum(session["seconds"] for session in record["sessions"]) / 60}


def read_folder(folder: Path, size: int, count: int) -> Pictures:
    """Reads ``count`` images, spread evenly over a folder, by name; those with a side above ``size`` are reduced.

    Raises:
        StylekitError: the folder has no images.
    """
    files = find_images(folder)
    if not files:
        raise StylekitError(f"There are no images in {folder}.")
    chosen = [files[index * len(files) // count] for index in range(min(count, len(files)))] if count else files
    return {file.relative_to(folder).as_posix(): reduced(images.read(file), size) for file in chosen}


def reduced(picture: images.Picture, size: int) -> Tensor:
    image = images.over_white(picture.image, picture.alpha)
    factor = size / max(image.shape[-2:])
    height, width = image.shape[-2:]
    return images.resize(image, images.scaled((height, width), factor)) if factor < 1 else image


def drawn(size: int, count: int) -> tuple[Pictures, Pictures]:
    """Generated contents and styles, for use without folders."""
    contents = {f"scene {index}": render(index, size=size)[None] for index in range(count)}
    return contents, {kind: draw(kind, size, "judge")[None] for kind in list(KINDS)[:count]}


def digest(image: Tensor) -> str:
    return hashlib.sha256(images.to_pil(image).tobytes()).hexdigest()[:16]


def report(
    options: argparse.Namespace, contents: Pictures, styles: Pictures, results: Mapping[str, Any]
) -> dict[str, Any]:
    """The results, and everything that is needed to reproduce them."""
    return {
        "models": {model: weights(model) for model in results},
        "training": {model: how for model in results if (how := training(model))},
        "encoders": [TRAINED, RANDOM],
        "size": options.size,
        "count": options.count,
        "one_to_one": options.one_to_one,
        "seed": 0,
        "contents": {name: digest(image) for name, image in contents.items()},
        "styles": {name: digest(image) for name, image in styles.items()},
        "versions": {
            "stylekit": stylekit.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "threads": torch.get_num_threads(),
        "means": {model: asdict(mean(flat(rows))) for model, rows in results.items()},
        "medians": {model: asdict(median(flat(rows))) for model, rows in results.items()},
        "pairs": {
            model: {c: {s: asdict(each) for s, each in row.items()} for c, row in rows.items()}
            for model, rows in results.items()
        },
    }


def flat(rows: Mapping[str, Mapping[str, Marks]]) -> list[Marks]:
    return [each for row in rows.values() for each in row.values()]


def table(results: Mapping[str, Mapping[str, Mapping[str, Marks]]]) -> Table:
    """The means, one row per model."""
    means = Table(Column("", no_wrap=True), *(field.name.replace("_", "\n") for field in fields(Marks)))
    for model, rows in results.items():
        row = mean(flat(rows))
        *distances, clipped, blotches, seconds = astuple(row)
        means.add_row(
            model, *(f"{each:.3f}" for each in distances), f"{clipped:.1%}", f"{blotches:.1f}", f"{seconds:.2f}"
        )
    return means


def sheet(contents: Pictures, styles: Pictures, outputs: Mapping[str, Mapping[tuple[str, str], Tensor]]) -> Tensor:
    """One row per pair: the content, the style, and the output of each model."""
    rows = [
        [contents[content][0], styles[style][0], *(by_pair[content, style][0] for by_pair in outputs.values())]
        for content, style in shown(contents, styles)
    ]
    return grid(rows, ["content", "style", *map(caption, outputs)])


def caption(model: str) -> str:
    """A model's name without arguments, or the end of its path."""
    return "/".join(shlex.split(model)[0].split("/")[-2:])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--content", type=Path, help="folder of contents (default: generated scenes)")
    parser.add_argument("--style", type=Path, help="folder of styles (default: generated textures)")
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help="a model file, the folder of a run or checkpoint, or a method without training, optionally followed by "
        "arguments, as in 'gatys steps=60' (default: color-pca)",
    )
    parser.add_argument(
        "--rival",
        action="append",
        default=[],
        metavar="NAME",
        help=f"another program, if it is installed: {', '.join(RIVALS)}; options as for a model, as in 'pastiche steps=100'",
    )
    parser.add_argument("--size", type=int, default=256, help="largest side of the images in pixels")
    parser.add_argument("--count", type=int, default=8, help="number of images to use from each folder; 0: all")
    parser.add_argument("--one-to-one", action="store_true", help="use each content with one style only")
    parser.add_argument("-o", "--out", type=Path, help="file for a sheet of the images")
    parser.add_argument("--json", type=Path, help="file for all figures and the settings")
    options = parser.parse_args(arguments)

    contents, styles = drawn(options.size, options.count or len(KINDS))
    if options.content:
        contents = read_folder(options.content, options.size, options.count)
    if options.style:
        styles = read_folder(options.style, options.size, options.count)
    chosen = {name: with_model(name, styles) for name in options.model or ["color-pca"]}
    chosen |= {name: with_rival(name, styles) for name in options.rival}
    pairs = shown(contents, styles) if options.one_to_one else itertools.product(contents, styles)
    results, outputs = compare(Judge(), contents, styles, {**references(styles), **chosen}, pairs)

    Console(highlight=False, width=max(120, Console().width)).print(table(results))
    if options.out:
        images.write(options.out, sheet(contents, styles, {name: outputs[name] for name in chosen}))
    if options.json:
        options.json.write_text(json.dumps(report(options, contents, styles, results), indent=2) + "\n")


if __name__ == "__main__":
    try:
        main()
    except StylekitError as error:
        sys.exit(str(error))
