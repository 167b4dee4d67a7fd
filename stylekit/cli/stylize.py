"""``stylekit stylize``: stylises images and folders of images."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from stylekit._files import explain_os_errors
from stylekit.cli.concurrency import Concurrency
from stylekit.cli.failures import failure
from stylekit.cli.output import echo
from stylekit.cli.pipeline import MAKERS, run_pipeline
from stylekit.cli.targets import find_sources, plan_previews, plan_targets
from stylekit.errors import StylekitError
from stylekit.registry import lookup
from stylekit.training.settings import read_assignments

if TYPE_CHECKING:
    from torch import Tensor

    from stylekit.images import Picture
    from stylekit.inference.model import Model

DEFAULT_MODEL = "stylekit-small"
"""The model that is used by default."""
PREVIEWS = 10
"""Approximate number of intermediate images that are kept of an optimisation."""
LOAD_OPTIONS = {"device": "--device", "method": "--model", "run_or_file": "--model"}
"""Arguments of ``load`` that are not options of the method, with the command-line options for them."""

With = Annotated[
    list[str] | None,
    typer.Option(
        "--with", metavar="KEY=VALUE", help="an option of the method for each image; `stylekit show` lists them"
    ),
]
PluginFiles = Annotated[
    list[Path] | None, typer.Option("--plugin", help=".py file with the method, if no installed plugin offers it")
]


def command(
    pictures: Annotated[list[Path], typer.Argument(help="images, or folders of images")],
    out: Annotated[Path, typer.Option("--out", "-o", help="folder to write to, or a file for a single image")],
    model: Annotated[
        str,
        typer.Option(
            "--model", help="a shipped model, a run's folder, a model file, or a method that needs no training"
        ),
    ] = DEFAULT_MODEL,
    style: Annotated[
        list[str] | None,
        typer.Option(
            "--style", metavar="STYLE[:WEIGHT]", help="an image, a .style file, or the name of a style of the model"
        ),
    ] = None,
    mask: Annotated[
        list[Path] | None,
        typer.Option("--mask", help="image that is white where a style applies: one per style, in the same order"),
    ] = None,
    strength: Annotated[
        float, typer.Option(help="from 0, the unchanged image, to 1; below 0.2, the image itself is blended in")
    ] = 1.0,
    keep_color: Annotated[
        str | None, typer.Option(metavar="HOW", help="keep the image's colours: luminance or histogram")
    ] = None,
    style_scale: Annotated[
        float, typer.Option(help="factor on the sides of the style image: above 1, larger strokes")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="random seed, for methods that draw random numbers")] = 0,
    with_: With = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="an option of the method's constructor")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="short for --set steps=N, for methods that optimise")] = None,
    init: Annotated[
        str | None, typer.Option(help="short for --set init=content or init=noise, for methods that optimise")
    ] = None,
    preview: Annotated[
        Path | None, typer.Option(metavar="DIR", help="folder for intermediate images, for methods that optimise")
    ] = None,
    clip: Annotated[
        bool,
        typer.Option(
            "--clip", help="treat the images of each folder as the frames of one clip, in order of their names"
        ),
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps")] = "auto",
    plugin: PluginFiles = None,
) -> None:
    """Stylise images. Each keeps its size, its transparency and its path within the folder.

    For example: [bold]stylekit stylize photo.jpg --style painting.jpg -o out.png[/bold]

    Several styles are blended by their weights. With masks, each style is applied where its own mask is white. One extra
    style fills the uncovered area, which otherwise stays exactly as it is.
    """
    weighted = [_weighted(text) for text in style or []]
    inputs = [*map(Path, mask or []), *(Path(name) for name, _ in weighted)]
    sources = find_sources(pictures)
    targets = plan_targets(sources, out, inputs)
    previews = plan_previews(targets, out, preview, inputs) if preview else {}
    method_options = _arguments(assignments or [], steps=steps, init=init)
    for file in plugin or []:
        lookup.add_file(file)
    from stylekit.inference import controls
    from stylekit.inference.model import load
    from stylekit.seeding import derive

    loaded = load(model, device, **method_options)
    controls.check_controls(strength, keep_color)
    controls.check_scale(style_scale)
    masks = [controls.read_mask(each) for each in mask or []]
    styles = [(loaded.style(name, style_scale), weight) for name, weight in weighted]
    options = loaded.resolve_options(read_assignments(with_ or [], "--with"))
    regions = loaded.resolve_styles(styles, masks=len(masks))  # reports a mismatch before anything is stylised
    if preview:
        _create_preview_folder(preview, loaded, clip)
    controls_and_options = {"mask": masks, "strength": strength, "keep_color": keep_color, **options}
    results = Results(targets, out)
    if clip:
        _stylize_clips(
            partial(loaded.require_memory, options=options),
            sources,
            results,
            partial(loaded.clip, style=styles, seed=seed, **controls_and_options),
        )
        return
    concurrency = Concurrency(loaded, len(targets), options)

    def stylized(source: Path, picture: Picture) -> Picture:
        if not concurrency.together(picture):
            height, width = picture.image.shape[-2:]
            loaded.require_memory(height, width, options)
        # Derived from the name, so that the images of a folder get different random numbers, but each can be reproduced.
        image_seed = derive(seed, sources[source].as_posix())
        return loaded.stylize_picture(picture, styles, seed=image_seed, **controls_and_options)

    _stylize_all(loaded, results, previews, len(regions), stylized, concurrency)


def _create_preview_folder(folder: Path, model: Model, clip: bool) -> None:
    """Creates the folder for intermediate images.

    Raises:
        StylekitError: there are none, or the folder cannot be created.
    """
    if clip:
        raise StylekitError("--preview shows the steps of single images, so it cannot be combined with --clip.")
    if not model.method.capabilities.optimizes:
        raise StylekitError(
            f"The method {model.name!r} does not optimise, so it has no intermediate steps for --preview."
        )
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)


def _weighted(text: str) -> tuple[str, float]:
    """A style named on the command line, and its weight, which follows the last colon.

    If there is a file of the whole name, such as ``sunset:2``, the name has no weight.
    """
    name, colon, number = text.rpartition(":")
    if not colon or Path(text).exists():
        return text, 1.0
    try:
        return name, float(number)
    except ValueError:
        return text, 1.0


def _arguments(assignments: list[str], **short: Any) -> dict[str, Any]:
    """The options of the method that ``--set`` and its short forms give.

    Raises:
        StylekitError: an option is given in both forms, or it is not an option of the method.
    """
    options = read_assignments(assignments)
    for key in options:
        if key in LOAD_OPTIONS:
            raise StylekitError(f"--set sets options of the method, and {key!r} is not one: use {LOAD_OPTIONS[key]}.")
        if short.get(key) is not None:
            raise StylekitError(f"--{key} is short for --set {key}=..., and both are given. Leave out one of them.")
    return {**options, **{key: value for key, value in short.items() if value is not None}}


class Results:
    """Writes the results, and keeps count of the written images and the failures.

    Args:
        targets: the file that each image is written to
        out: the path that the user gave as ``--out``
    """

    def __init__(self, targets: Mapping[Path, Path], out: Path) -> None:
        self.targets, self.out = targets, out
        self.written = 0
        self.failures: list[str] = []

    def write(self, source: Path, output: Picture) -> None:
        from stylekit import images

        self.targets[source].parent.mkdir(parents=True, exist_ok=True)
        images.write(self.targets[source], output)
        self.written += 1

    def report(self, interrupted: bool = False) -> None:
        """Prints how many images were written, and which failed.

        Raises:
            typer.Exit: with code 1, if any failed.
        """
        prefix = "Interrupted: " if interrupted else ""
        echo(f"{prefix}wrote {self.written} of {len(self.targets)} images to {self.out}", stderr=True)
        if self.failures and not interrupted:
            echo("Failed:", *self.failures, stderr=True)
            raise typer.Exit(1)


def _stylize_all(
    model: Model,
    results: Results,
    previews: Mapping[Path, Path],
    regions: int,
    stylize: Callable[[Path, Picture], Picture],
    concurrency: Concurrency,
) -> None:
    """Stylises every image by itself, shows the progress, and reports at the end or when interrupted."""
    from stylekit import images

    console = Console(stderr=True)

    def make(source: Path, picture: Picture) -> Picture:
        steps.begin(previews.get(source))
        return stylize(source, picture)

    try:
        with Progress(console=console, disable=not console.is_terminal) as bar:
            done = bar.add_task("stylising", total=len(results.targets))
            model.method.on_step = steps = Steps(bar, regions)
            for source, error in run_pipeline(
                results.targets,
                images.read,
                make,
                results.write,
                concurrency.at_once,
                concurrency.prepare,
                concurrency.together,
            ):
                bar.advance(done)
                results.failures += [failure(source, error)] if error else []
    except KeyboardInterrupt:
        results.report(interrupted=True)
        if any(thread.name.startswith(MAKERS) for thread in threading.enumerate()):
            os._exit(130)  # this was the second Ctrl-C, so do not wait for the threads
        raise
    finally:
        model.method.on_step = None
    results.report()


def _stylize_clips(
    require_memory: Callable[[int, int], None],
    sources: Mapping[Path, Path],
    results: Results,
    stylize: Callable[[Iterator[Picture]], Iterator[Picture]],
) -> None:
    """Stylises the images of each folder as the frames of one clip."""
    from stylekit import images

    def read(frame: Path) -> Picture:
        picture = images.read(frame)
        height, width = picture.image.shape[-2:]
        require_memory(height, width)
        return picture

    console = Console(stderr=True)
    clips: dict[Path, list[Path]] = {}
    for source in sources:
        clips.setdefault(source.parent, []).append(source)
    try:
        with Progress(console=console, disable=not console.is_terminal) as bar:
            done = bar.add_task("stylising", total=len(results.targets))
            for folder, frames in clips.items():
                try:
                    for source, output in zip(frames, stylize(map(read, frames)), strict=True):
                        results.write(source, output)
                        bar.advance(done)
                except Exception as error:  # the other clips continue
                    results.failures.append(failure(folder, error))
    except KeyboardInterrupt:
        results.report(interrupted=True)
        raise
    results.report()


class Steps:
    """Shows the progress of an optimisation, and writes intermediate images if there is a preview folder.

    Args:
        bar: the progress bar
        regions: number of optimisations per image
    """

    def __init__(self, bar: Progress, regions: int) -> None:
        self.bar, self.regions = bar, regions
        self.task: Any = None
        self.begin(None)

    def begin(self, preview: Path | None) -> None:
        """Starts the next image. Its steps are written to files of this name, with region and step added; None: to none."""
        self.preview, self.region, self.last_step = preview, 1, 0

    def __call__(self, step: int, total: int, image: Tensor) -> None:
        self.region += step <= self.last_step  # the steps of each region count from 1
        self.last_step = step
        if self.task is None:
            self.task = self.bar.add_task("optimising", total=total)
        self.bar.update(self.task, completed=step, total=total)
        if self.preview and (step * PREVIEWS // total > (step - 1) * PREVIEWS // total or step == 1):
            from stylekit import images

            region = f"-region-{self.region}" if self.regions > 1 else ""
            self.preview.parent.mkdir(parents=True, exist_ok=True)
            images.write(self.preview.with_stem(f"{self.preview.stem}{region}-{step:05}"), image[:1])
