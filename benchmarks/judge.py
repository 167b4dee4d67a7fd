"""Evaluates stylised images: distance from the content, distance from the style, artefacts, and time.

    python benchmarks/judge.py --content DIR --style DIR --model color-pca --model "gatys steps=60" -o grid.png

Every content is combined with every style (with ``--one-to-one``, the first content with the first style, and so on), and
each figure is the mean over the pairs. Distances are computed with two networks: a VGG-19 trained on ImageNet, with which
some methods were trained too, and a VGG-19 of random weights, with which none was. Random networks measure style well enough
to generate images with (He et al. 2016, "A powerful generative model using random weights for the deep image
representation").

The columns are explained in ``benchmarks/marks.py``, and ``seconds`` is the time of stylising.

No network measures beauty, so the figures only compare methods on the same images. The two rows "content untouched" and
"style itself" show the ends of each scale. Look at the grid as well. ``--rival`` adds programs that are installed: see
``benchmarks/rivals.py``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import shlex
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Column, Table
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
import stylekit
from benchmarks.marks import MARKS, RANDOM, TRAINED
from benchmarks.rivals import RIVALS
from stylekit import images
from stylekit.errors import StylekitError, suggest
from stylekit.evaluation import (
    Evaluation,
    FolderPictures,
    Inputs,
    ModelSubject,
    Pictures,
    Subject,
    evaluate,
    write_report,
)
from stylekit.evaluation.inputs import Pair
from stylekit.inference.model_files import resolve_model_file as find_model
from stylekit.training.sample_grid import grid
from stylekit.training.written import read_assignments
from stylekit_plugins.datasets.scenes import render
from stylekit_plugins.datasets.textures import KINDS, draw

DRAWN = "drawn by stylekit"


class Given(Pictures):
    """Images that are there already."""

    def __init__(self, images: Mapping[str, Tensor]) -> None:
        super().__init__(list(images), DRAWN)
        self._images = images

    def load(self, name: str) -> Tensor:
        return self._images[name]


class Rival:
    """Another program that is installed, by its name and its options.

    Raises:
        StylekitError: there is no such rival, or it is not installed.
    """

    def __init__(self, name: str, inputs: Inputs) -> None:
        source, *arguments = shlex.split(name)
        if source not in RIVALS:
            raise StylekitError(f"There is no rival {source!r}. {suggest(source, RIVALS)}")
        self.name, self.facts, self._inputs = name, {"kind": "program"}, inputs
        self._stylise = RIVALS[source](inputs.styles or {}, **read_assignments(arguments))

    def output(self, content: str, style: str | None) -> Tensor:
        return self._stylise(self._inputs.contents[content], style or "")


class Kept:
    """A subject that keeps its outputs for some pairs, for the sheet."""

    def __init__(self, subject: Subject, pairs: Sequence[Pair]) -> None:
        self._subject, self._pairs = subject, pairs
        self.name, self.facts = subject.name, subject.facts
        self.outputs: dict[Pair, Tensor] = {}

    def output(self, content: str, style: str | None) -> Tensor:
        image = self._subject.output(content, style)
        if (content, style) in self._pairs:
            self.outputs[content, style] = image
        return image


def model(name: str, inputs: Inputs) -> ModelSubject:
    """A model by its name or path, optionally with arguments, as in ``gatys steps=60``."""
    source, *arguments = shlex.split(name)
    return ModelSubject(name, stylekit.load(source, device="cpu", **read_assignments(arguments)), inputs)


def shown(inputs: Inputs) -> list[Pair]:
    """The pairs on the sheet, with every content and every style at least once."""
    contents, styles = list(inputs.contents), list(inputs.styles or ())
    count = max(len(contents), len(styles))
    return [(contents[row % len(contents)], styles[row % len(styles)]) for row in range(count)]


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


def drawn(size: int, count: int) -> tuple[Pictures, Pictures]:
    """Generated contents and styles, for use without folders."""
    contents = {f"scene {index}": render(index, size=size)[None] for index in range(count)}
    return Given(contents), Given({kind: draw(kind, size, "judge")[None] for kind in list(KINDS)[:count]})


def digest(image: Tensor) -> str:
    return hashlib.sha256(images.to_pil(image).tobytes()).hexdigest()[:16]


def report(options: argparse.Namespace, result: Evaluation) -> dict[str, Any]:
    """The results, and everything that is needed to reproduce them."""
    inputs, rows = result.inputs, {name: marks(result, name) for name in result.subjects}
    styles: Mapping[str, Tensor] = inputs.styles or {}
    return {
        "models": {name: weights(name) for name in rows},
        "training": {name: how for name in rows if (how := training(name))},
        "encoders": [TRAINED, RANDOM],
        "size": options.size,
        "count": options.count,
        "one_to_one": options.one_to_one,
        "seed": 0,
        "contents": {name: digest(image) for name, image in inputs.contents.items()},
        "styles": {name: digest(image) for name, image in styles.items()},
        "versions": {
            "stylekit": stylekit.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "threads": torch.get_num_threads(),
        "means": {name: summary(each, statistics.mean) for name, each in rows.items()},
        "medians": {name: summary(each, statistics.median) for name, each in rows.items()},
        "pairs": {
            name: {
                content: {style: row for (other, style), row in each.items() if other == content}
                for content in inputs.contents
            }
            for name, each in rows.items()
        },
    }


def marks(result: Evaluation, name: str) -> dict[Pair, dict[str, float]]:
    """The marks of a subject by pair."""
    return {
        pair: {**{mark: values[name][pair] for mark, values in result.values.items()}, "seconds": seconds}
        for pair, seconds in result.seconds[name].items()
    }


def summary(rows: Mapping[Pair, Mapping[str, float]], of: Callable[[list[float]], float]) -> dict[str, float]:
    """The mean or median of each mark over the pairs."""
    return {mark: of([row[mark] for row in rows.values()]) for mark in next(iter(rows.values()))}


def table(means: Mapping[str, Mapping[str, float]]) -> Table:
    """The means, one row per model."""
    shown = Table(Column("", no_wrap=True), *(mark.replace("_", "\n") for mark in next(iter(means.values()))))
    for name, row in means.items():
        *distances, clipped, blotches, seconds = row.values()
        shown.add_row(
            name, *(f"{each:.3f}" for each in distances), f"{clipped:.1%}", f"{blotches:.1f}", f"{seconds:.2f}"
        )
    return shown


def sheet(inputs: Inputs, subjects: Sequence[Kept]) -> Tensor:
    """One row per pair: the content, the style, and the output of each model."""
    styles: Mapping[str, Tensor] = inputs.styles or {}
    rows = [
        [inputs.contents[content][0], styles[style or ""][0], *(each.outputs[content, style][0] for each in subjects)]
        for content, style in shown(inputs)
    ]
    return grid(rows, ["content", "style", *(caption(each.name) for each in subjects)])


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
    parser.add_argument("--report", type=Path, help="folder for a page with all images, as of `stylekit evaluate`")
    options = parser.parse_args(arguments)

    contents, styles = drawn(options.size, options.count or len(KINDS))
    if options.content:
        contents = FolderPictures(options.content, options.size, options.count)
    if options.style:
        styles = FolderPictures(options.style, options.size, options.count)
    inputs = Inputs(contents, styles, one_to_one=options.one_to_one)
    subjects: list[Subject] = [model(name, inputs) for name in options.model or ["color-pca"]]
    subjects += [Rival(name, inputs) for name in options.rival]
    kept = [Kept(each, shown(inputs)) for each in subjects]
    result = evaluate(kept, inputs, MARKS)
    written = report(options, result)

    Console(highlight=False, width=max(120, Console().width)).print(table(written["means"]))
    if options.out:
        images.write(options.out, sheet(inputs, kept))
    if options.json:
        options.json.write_text(json.dumps(written, indent=2) + "\n")
    if options.report:
        write_report(
            result, options.report, shlex.join(["python", "benchmarks/judge.py", *(arguments or sys.argv[1:])])
        )


if __name__ == "__main__":
    try:
        main()
    except StylekitError as error:
        sys.exit(str(error))
