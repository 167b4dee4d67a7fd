"""``stylekit stylize``: images and folders in, stylised images out."""

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
"""The model that is used if none is named."""
PREVIEWS = 10
"""About how many steps are kept of an image that is optimised."""
LOAD_OPTIONS = {"device": "--device", "method": "--model", "run_or_file": "--model"}
"""Arguments of loading, not of the method, and the options for them."""

With = Annotated[
    list[str] | None,
    typer.Option(
        "--with", metavar="KEY=VALUE", help="an option that the method has for each image, as `stylekit show` lists"
    ),
]
PluginFiles = Annotated[
    list[Path] | None, typer.Option("--plugin", help=".py file of the method, if no installed plugin offers it")
]


def command(
    pictures: Annotated[list[Path], typer.Argument(help="images, or folders of images")],
    out: Annotated[Path, typer.Option("--out", "-o", help="folder to write to, or the file for a single image")],
    model: Annotated[
        str, typer.Option("--model", help="a shipped model, a run's folder, a model file, or a method without training")
    ] = DEFAULT_MODEL,
    style: Annotated[
        list[str] | None,
        typer.Option(
            "--style", metavar="STYLE[:WEIGHT]", help="an image, a .style file, or a style that the model learned"
        ),
    ] = None,
    mask: Annotated[
        list[Path] | None,
        typer.Option("--mask", help="image that is white where a style goes: one for each style, in order"),
    ] = None,
    strength: Annotated[
        float, typer.Option(help="from 0, the image as it is, to 1; below 0.2 the image itself is blended in")
    ] = 1.0,
    keep_color: Annotated[
        str | None, typer.Option(metavar="HOW", help="keep the image's colours, by luminance or histogram")
    ] = None,
    style_scale: Annotated[
        float, typer.Option(help="factor on the style image's sides: above 1, larger strokes")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="seed of what the method draws")] = 0,
    with_: With = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="constructor argument of the method")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="short for --set steps=N, for methods that optimise")] = None,
    init: Annotated[str | None, typer.Option(help="short for --set init=content or noise, for these too")] = None,
    preview: Annotated[
        Path | None, typer.Option(metavar="DIR", help="folder for intermediate steps of these methods")
    ] = None,
    clip: Annotated[
        bool,
        typer.Option("--clip", help="the images of each folder are the frames of one clip, in order of their names"),
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps")] = "auto",
    plugin: PluginFiles = None,
) -> None:
    """Stylise images; each keeps its size, its transparency and its place below a folder.

    For example: [bold]stylekit stylize photo.jpg --style painting.jpg -o out.png[/bold]

    Several styles are blended by their weights. With masks, each style goes where its own mask is white, and one extra
    style fills what no mask covers, which otherwise stays exactly as it is.
    """
    named = [_weighted(text) for text in style or []]
    inputs = [*map(Path, mask or []), *(Path(name) for name, _ in named)]
    sources = find_sources(pictures)
    targets = plan_targets(sources, out, inputs)
    previews = plan_previews(targets, out, preview, inputs) if preview else {}
    chosen = _arguments(assignments or [], steps=steps, init=init)
    for file in plugin or []:
        lookup.add_file(file)
    from stylekit.inference import controls
    from stylekit.inference.model import load
    from stylekit.seeding import derive

    loaded = load(model, device, **chosen)
    controls.check_controls(strength, keep_color)
    controls.check_scale(style_scale)
    masks = [controls.read_mask(each) for each in mask or []]
    styles = [(loaded.style(name, style_scale), weight) for name, weight in named]
    options = loaded.resolve_options(read_assignments(with_ or [], "--with"))
    regions = loaded.resolve_styles(
        styles, masks=len(masks)
    )  # what does not fit is reported before anything is stylised
    if preview and clip:
        raise StylekitError("--preview shows the steps of single images, so it cannot be combined with --clip.")
    if preview and not loaded.method.capabilities.optimizes:
        raise StylekitError(
            f"The method {loaded.name!r} does not optimise, so it has no intermediate steps for --preview."
        )
    if preview:
        with explain_os_errors(preview):
            preview.mkdir(parents=True, exist_ok=True)
    asked = {"mask": masks, "strength": strength, "keep_color": keep_color, **options}
    results = Results(targets, out)
    if clip:
        _stylize_clips(
            partial(loaded.require_memory, options=options),
            sources,
            results,
            partial(loaded.clip, style=styles, seed=seed, **asked),
        )
        return
    concurrency = Concurrency(loaded, len(targets), options)

    def stylized(source: Path, picture: Picture) -> Picture:
        if not concurrency.together(picture):
            height, width = picture.image.shape[-2:]
            loaded.require_memory(height, width, options)
        # By its name, so that images of a folder differ where a method draws, and each is the same when made again.
        drawn = derive(seed, sources[source].as_posix())
        return loaded.stylize_picture(picture, styles, seed=drawn, **asked)

    _stylize_all(loaded, results, previews, len(regions), stylized, concurrency)


def _weighted(text: str) -> tuple[str, float]:
    """A style that is named on the command line, and its weight.

    A weight follows the last colon; a name with a colon and a number at its end is understood if there is such a file.
    """
    name, colon, number = text.rpartition(":")
    if not colon or Path(text).exists():
        return text, 1.0
    try:
        return name, float(number)
    except ValueError:
        return text, 1.0


def _arguments(assignments: list[str], **short: Any) -> dict[str, Any]:
    """What ``--set`` and the options that are short for it say.

    Raises:
        StylekitError: both say it, or it is not an argument of the method.
    """
    chosen = read_assignments(assignments)
    for key in chosen:
        if key in LOAD_OPTIONS:
            raise StylekitError(
                f"--set takes arguments of the method, and {key!r} is not one: use {LOAD_OPTIONS[key]}."
            )
        if short.get(key) is not None:
            raise StylekitError(f"--{key} is short for --set {key}=..., and both are given. Leave one of them out.")
    return {**chosen, **{key: value for key, value in short.items() if value is not None}}


class Results:
    """What has been written so far, and what failed.

    Args:
        targets: where each image goes
        out: what the user called that
    """

    def __init__(self, targets: Mapping[Path, Path], out: Path) -> None:
        self.targets, self.out = targets, out
        self.written = 0
        self.failures: list[str] = []

    def write(self, source: Path, made: Picture) -> None:
        from stylekit import images

        self.targets[source].parent.mkdir(parents=True, exist_ok=True)
        images.write(self.targets[source], made.image, made.alpha, made.icc_profile, made.exif)
        self.written += 1

    def report(self, interrupted: bool = False) -> None:
        """Prints how many images were written, and which failed.

        Raises:
            typer.Exit: with code 1, if any failed.
        """
        prefix = "Interrupted: " if interrupted else ""
        echo(f"{prefix}{self.written} of {len(self.targets)} pictures are in {self.out}", stderr=True)
        if self.failures and not interrupted:
            echo("These failed:\n" + "\n".join(self.failures), stderr=True)
            raise typer.Exit(1)


def _stylize_all(
    model: Model,
    results: Results,
    previews: Mapping[Path, Path],
    regions: int,
    stylize: Callable[[Path, Picture], Picture],
    concurrency: Concurrency,
) -> None:
    """Stylises every image by itself, shows the progress, and reports at the end, or when it is interrupted."""
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
            os._exit(130)  # it was the second time, so nobody wants to wait for them
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
                    for source, made in zip(frames, stylize(map(read, frames)), strict=True):
                        results.write(source, made)
                        bar.advance(done)
                except Exception as error:  # the other clips continue
                    results.failures.append(failure(folder, error))
    except KeyboardInterrupt:
        results.report(interrupted=True)
        raise
    results.report()


class Steps:
    """Shows the progress of an optimisation, and keeps images of its steps, if there is a place for them.

    Args:
        bar: where it is shown
        regions: how many optimisations an image takes
    """

    def __init__(self, bar: Progress, regions: int) -> None:
        self.bar, self.regions = bar, regions
        self.task: Any = None
        self.begin(None)

    def begin(self, preview: Path | None) -> None:
        """Another image follows; its steps are kept in files of this name, with region and step added."""
        self.preview, self.region, self.before = preview, 1, 0

    def __call__(self, step: int, total: int, image: Tensor) -> None:
        self.region += step <= self.before  # it counts from 1 again
        self.before = step
        if self.task is None:
            self.task = self.bar.add_task("optimising", total=total)
        self.bar.update(self.task, completed=step, total=total)
        if self.preview and (step * PREVIEWS // total > (step - 1) * PREVIEWS // total or step == 1):
            from stylekit import images

            region = f"-region-{self.region}" if self.regions > 1 else ""
            self.preview.parent.mkdir(parents=True, exist_ok=True)
            images.write(self.preview.with_stem(f"{self.preview.stem}{region}-{step:05}"), image[:1])
