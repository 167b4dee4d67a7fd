"""``stylekit stylize``: pictures and folders in, pictures of the same size out."""

from __future__ import annotations

import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from PIL import Image
from rich.console import Console
from rich.progress import Progress

from stylekit._files import explain_os_errors
from stylekit.cli.concurrency import Concurrency
from stylekit.cli.error_origin import error_location
from stylekit.cli.output import echo
from stylekit.cli.pipeline import MAKERS, run_pipeline
from stylekit.datasets.files import SUFFIXES, find_images
from stylekit.errors import StylekitError, one_line_error
from stylekit.registry import lookup
from stylekit.training.settings import read_assignments

if TYPE_CHECKING:
    from torch import Tensor

    from stylekit.images import Picture
    from stylekit.inference.model import Model

DEFAULT_MODEL = "stylekit-small"
"""The model that is taken if none is named."""
PREVIEWS = 10
"""About how many pictures are kept of one that is optimised."""
EXPECTED_ERRORS = (StylekitError, OSError, RuntimeError, MemoryError)
"""Errors that say enough by themselves."""
LOAD_OPTIONS = {"device": "--device", "method": "--model", "run_or_file": "--model"}
"""What is asked of the loading, and not of the method, by its options."""


def command(
    pictures: Annotated[list[Path], typer.Argument(help="pictures, or folders of pictures")],
    out: Annotated[Path, typer.Option("--out", "-o", help="folder to write to, or the file for a single picture")],
    model: Annotated[
        str, typer.Option("--model", help="a shipped model, a run's folder, a model file, or a method without training")
    ] = DEFAULT_MODEL,
    style: Annotated[
        list[str] | None,
        typer.Option(
            "--style", metavar="STYLE[:WEIGHT]", help="a picture, a .style file, or a style that the model knows"
        ),
    ] = None,
    mask: Annotated[
        list[Path] | None,
        typer.Option("--mask", help="picture, white where a style goes: one for each style, in order"),
    ] = None,
    strength: Annotated[
        float, typer.Option(help="from 0, the picture as it is, to 1; below 0.2 the picture itself is mixed in")
    ] = 1.0,
    keep_color: Annotated[
        str | None, typer.Option(metavar="HOW", help="keep the picture's colours, by luminance or histogram")
    ] = None,
    style_scale: Annotated[
        float, typer.Option(help="factor on the style picture's sides: above 1, larger strokes")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="seed of what the method draws")] = 0,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="arguments of a method named by --model")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="short for --set steps=N, for methods that optimise")] = None,
    init: Annotated[str | None, typer.Option(help="short for --set init=content or noise, for these too")] = None,
    preview: Annotated[
        Path | None, typer.Option(metavar="DIR", help="folder for pictures along the way of these")
    ] = None,
    direction: Annotated[str | None, typer.Option(help="for methods that go both ways, such as b-to-a")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps")] = "auto",
    plugin: Annotated[Path | None, typer.Option(help=".py file of the method, if it is no installed plugin")] = None,
) -> None:
    """Stylise pictures; each keeps its size, its transparency and its place below a folder.

    For example: [bold]stylekit stylize photo.jpg --style painting.jpg -o out.png[/bold]

    Several styles are blended by their weights. With masks, each style goes where its own is white, and one style more
    than masks fills the rest; without it the rest stays exactly as it is.
    """
    named = [_weighted(text) for text in style or []]
    inputs = [*map(Path, mask or []), *(Path(name) for name, _ in named)]
    targets = plan(pictures, out, inputs)
    ways = plan_previews(targets, out, preview, inputs) if preview else {}
    chosen = _arguments(assignments or [], steps=steps, init=init)
    if plugin:
        lookup.add_file(plugin)
    from stylekit.inference import controls
    from stylekit.inference.model import load

    loaded = load(model, device, **chosen)
    loaded.check_direction(direction)
    controls.check_controls(strength, keep_color)
    controls.check_scale(style_scale)
    masks = [controls.read_mask(each) for each in mask or []]
    styles = [(loaded.style(name, style_scale), weight) for name, weight in named]
    regions = loaded.resolve_styles(
        styles, masks=len(masks)
    )  # what does not go together is told before anything is stylised
    if preview and loaded.method.exportable:
        raise StylekitError(
            f"The method {loaded.name!r} does not optimise, so it has no pictures along the way for --preview."
        )
    if preview:
        with explain_os_errors(preview):
            preview.mkdir(parents=True, exist_ok=True)
    concurrency = Concurrency(loaded, direction, len(targets))

    def stylised(picture: Picture) -> Picture:
        if not concurrency.together(picture):
            height, width = picture.image.shape[-2:]
            loaded.require_memory(height, width, direction)
        return loaded.stylize_picture(
            picture, styles, direction, mask=masks, strength=strength, keep_color=keep_color, seed=seed
        )

    _all(loaded, targets, out, ways, len(regions), stylised, concurrency)


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
        StylekitError: both say it, or it is no argument of the method.
    """
    chosen = read_assignments(assignments)
    for key in chosen:
        if key in LOAD_OPTIONS:
            raise StylekitError(f"--set takes arguments of the method, and {key!r} is none: give {LOAD_OPTIONS[key]}.")
        if short.get(key) is not None:
            raise StylekitError(f"--{key} is short for --set {key}=..., and both are given. Leave one of them out.")
    return {**chosen, **{key: value for key, value in short.items() if value is not None}}


def _all(
    model: Model,
    targets: Mapping[Path, Path],
    out: Path,
    ways: Mapping[Path, Path],
    regions: int,
    stylize: Callable[[Picture], Picture],
    concurrency: Concurrency,
) -> None:
    """Stylises every picture, shows how far that is, and says at the end, or when it is interrupted, how many are done."""
    from stylekit import images

    console = Console(stderr=True)
    written: list[Path] = []
    failures: list[str] = []

    def make(source: Path, picture: Picture) -> Picture:
        watched.begin(ways.get(source))
        return stylize(picture)

    def write(source: Path, made: Picture) -> None:
        targets[source].parent.mkdir(parents=True, exist_ok=True)
        images.write(targets[source], made.image, made.alpha, made.icc_profile, made.exif)
        written.append(source)

    def tell(before: str) -> None:
        echo(f"{before}{len(written)} of {len(targets)} pictures are in {out}", stderr=True)

    try:
        with Progress(console=console, disable=not console.is_terminal) as bar:
            done = bar.add_task("stylising", total=len(targets))
            model.method.on_step = watched = _Watched(bar, regions)
            for source, error in run_pipeline(
                targets, images.read, make, write, concurrency.at_once, concurrency.prepare, concurrency.together
            ):
                bar.advance(done)
                failures += [failure(source, error)] if error else []
    except KeyboardInterrupt:
        tell("Interrupted: ")
        if any(thread.name.startswith(MAKERS) for thread in threading.enumerate()):
            os._exit(130)  # it was the second time, so nobody wants to wait for them
        raise
    finally:
        model.method.on_step = None
    tell("")
    if failures:
        echo("These failed:\n" + "\n".join(failures), stderr=True)
        raise typer.Exit(1)


class _Watched:
    """Shows how far the optimisation of a picture is, and keeps pictures of its way, if there is a place for them.

    Args:
        bar: where it is shown
        regions: how many optimisations a picture takes
    """

    def __init__(self, bar: Progress, regions: int) -> None:
        self.bar, self.regions = bar, regions
        self.task: Any = None
        self.begin(None)

    def begin(self, way: Path | None) -> None:
        """Another picture follows, and its way is kept in files of this name, with region and step added."""
        self.way, self.region, self.before = way, 1, 0

    def __call__(self, step: int, total: int, picture: Tensor) -> None:
        self.region += step <= self.before  # it counts anew
        self.before = step
        if self.task is None:
            self.task = self.bar.add_task("optimising", total=total)
        self.bar.update(self.task, completed=step, total=total)
        if self.way and (step * PREVIEWS // total > (step - 1) * PREVIEWS // total or step == 1):
            from stylekit import images

            region = f"-region-{self.region}" if self.regions > 1 else ""
            self.way.parent.mkdir(parents=True, exist_ok=True)
            images.write(self.way.with_stem(f"{self.way.stem}{region}-{step:05}"), picture[:1])


def failure(source: Path, error: Exception) -> str:
    """What went wrong with a picture, in one line that names it."""
    if "--debug" in sys.argv:  # which stands anywhere in the line, and is taken out of it before
        traceback.print_exception(error)
    if isinstance(error, EXPECTED_ERRORS):
        reason = (str(error) or type(error).__name__).splitlines()[0]
    else:
        reason = f"{one_line_error(error)}{error_location(error)}"
    return reason if str(source) in reason else f"{source}: {reason}"


def plan(pictures: list[Path], out: Path, others: Iterable[Path] = ()) -> dict[Path, Path]:
    """Where each picture goes: below ``out`` as below its folder, or to ``out`` itself for one picture and a file's name.

    Args:
        pictures: pictures, and folders of them
        out: a folder, or a file's name
        others: what else is read

    Raises:
        StylekitError: a path is missing, there are no pictures, or a picture would be written over an input.
    """
    sources: dict[Path, Path] = {}  # a picture that is named twice is one
    for path in pictures:
        if path.is_dir():
            sources |= {picture: picture.relative_to(path) for picture in find_images(path)}
        elif path.exists():
            sources[path] = Path(path.name)
        else:
            raise StylekitError(f"There is no picture or folder {path}.")
    if not sources:
        raise StylekitError(
            f"There are no pictures in {', '.join(map(str, pictures))} ({', '.join(sorted(SUFFIXES))})."
        )
    if out.suffix.lower() in SUFFIXES and not out.is_dir():
        if len(sources) > 1:
            raise StylekitError(f"{len(sources)} pictures cannot all go to the file {out}. Give a folder.")
        targets = dict.fromkeys(sources, out)
    elif _is_foreign_picture(out) and not out.is_dir():
        raise StylekitError(
            f"{out} has the name of a picture in a format that is not written here. Give a folder, or a file that ends "
            f"in {', '.join(SUFFIXES)}."
        )
    elif out.exists() and not out.is_dir():
        raise StylekitError(f"{out} is a file, and neither a folder nor a picture to replace. Give another --out.")
    else:
        targets = _distinct(sources, out)
    keep_inputs(targets.values(), [*targets, *others])
    return targets


def keep_inputs(targets: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Refuses to write over what is read.

    Raises:
        StylekitError: one of the targets is an input.
    """
    read = {path.resolve() for path in inputs}
    for target in targets:
        if target.resolve() in read:
            raise StylekitError(f"{target} is one of the pictures to read, and is not overwritten. Give another --out.")


def plan_previews(targets: Mapping[Path, Path], out: Path, folder: Path, others: Iterable[Path]) -> dict[Path, Path]:
    """A name of its own for each picture's way, below a folder; region and step are added to it.

    Raises:
        StylekitError: a picture of a way could be written over an input, or over a finished picture.
    """
    below = {source: Path(out.name) if to == out else to.relative_to(out) for source, to in targets.items()}
    ways = _distinct({source: path.with_suffix(".png") for source, path in below.items()}, folder)
    names = {way.parent.resolve() / way.stem for way in ways.values()}
    for path in (*targets, *targets.values(), *others):
        whole = path.resolve()
        added = re.fullmatch(r"(.+?)(-region-\d+)?-\d{5,}", whole.stem)
        if added and whole.suffix == ".png" and whole.with_name(added[1]) in names:
            raise StylekitError(f"{path} could be overwritten by pictures along the way. Give another --preview.")
    return ways


def _is_foreign_picture(path: Path) -> bool:
    suffix = path.suffix.lower()
    return bool(suffix) and suffix in {".heic", ".heif", ".jxl", ".svg", *Image.registered_extensions()} - {*SUFFIXES}


def _distinct(sources: dict[Path, Path], out: Path) -> dict[Path, Path]:
    """Targets below ``out``; pictures of one name from several places get numbers. Unknown suffixes become PNG."""
    taken: set[Path] = set()
    targets = {}
    for source, below in sources.items():
        name = below if below.suffix.lower() in SUFFIXES else below.with_suffix(".png")
        target, number = out / name, 2
        while target in taken:
            target = out / name.with_stem(f"{name.stem}-{number}")
            number += 1
        taken.add(target)
        targets[source] = target
    return targets
