"""``stylekit stylize``: pictures and folders in, pictures of the same size out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from PIL import Image
from rich.console import Console
from rich.progress import Progress

from stylekit import plugins
from stylekit.cli.overlap import overlapped
from stylekit.errors import StylekitError
from stylekit.layouts import SUFFIXES, find
from stylekit.settings import read_assignments

if TYPE_CHECKING:
    from torch import Tensor

    from stylekit.images import Picture
    from stylekit.model import Model
    from stylekit.styles import Style

USUAL = "stylekit-small"
"""The model that is taken if none is named."""
PREVIEWS = 10
"""About how many pictures are kept of one that is optimised."""


def command(
    pictures: Annotated[list[Path], typer.Argument(help="pictures, or folders of pictures")],
    out: Annotated[Path, typer.Option("--out", "-o", help="folder to write to, or the file for a single picture")],
    model: Annotated[
        str, typer.Option("--model", help="a shipped model, a run's folder, a model file, or a method without training")
    ] = USUAL,
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
    strength: Annotated[float, typer.Option(help="from 0, the picture as it is, to 1")] = 1.0,
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
    targets = plan(pictures, out)
    if plugin:
        plugins.add_file(plugin)
    from stylekit import controls
    from stylekit.model import load

    given = {"steps": steps, "init": init}
    chosen = {key: value for key, value in given.items() if value is not None} | read_assignments(assignments or [])
    loaded = load(model, device, **chosen)
    loaded.check_direction(direction)
    controls.check(strength, keep_color)
    controls.check_scale(style_scale)
    masks = [controls.read_mask(each) for each in mask or []]
    styles = look(loaded, style or [], style_scale)
    loaded.looks(styles, masks=len(masks))  # what does not go together is told before anything is stylised
    if preview and loaded.method.exportable:
        raise StylekitError(
            f"The method {loaded.name!r} does not optimise, so it has no pictures along the way for --preview."
        )
    with contextlib.suppress(RuntimeError, MemoryError):  # these are told for each picture
        loaded.require_memory(1, 1, direction)
    options: dict[str, Any] = {
        "mask": masks,
        "strength": strength,
        "keep_color": keep_color,
        "seed": seed,
        "direction": direction,
    }
    _all(loaded, targets, out, preview, partial(loaded.stylize_picture, style=styles, **options))


def look(model: Model, given: list[str], scale: float = 1.0) -> list[tuple[Style, float]]:
    """The styles that are named on the command line, each looked at once, with their weights.

    A weight follows the last colon; a name with a colon and a number at its end is understood if there is such a file.

    Raises:
        StylekitError: there is no such style, or it does not fit the model.
    """
    found = []
    for text in given:
        name, colon, number = text.rpartition(":")
        weight = 1.0
        if colon and not Path(text).exists():
            try:
                weight = float(number)
            except ValueError:
                name = text
        else:
            name = text
        found.append((model.style(name, scale), weight))
    return found


def _all(
    model: Model, targets: dict[Path, Path], out: Path, preview: Path | None, stylize: Callable[[Picture], Picture]
) -> None:
    """Stylises every picture, shows how far that is, and says at the end what failed."""
    from stylekit import images

    console = Console(stderr=True, highlight=False)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        done = bar.add_task("stylising", total=len(targets))
        watched = _Watched(bar, preview)
        model.method.watch = watched

        def make(source: Path, picture: Picture) -> Picture:
            height, width = picture.image.shape[-2:]
            model.require_memory(height, width, stylize.keywords["direction"])  # type: ignore[attr-defined]
            watched.name = targets[source].stem
            return stylize(picture)

        def write(source: Path, made: Picture) -> None:
            targets[source].parent.mkdir(parents=True, exist_ok=True)
            images.write(targets[source], made.image, made.alpha, made.icc_profile, made.exif)

        failures = []
        for source, error in overlapped(targets, images.read, make, write):
            bar.advance(done)
            failures += [_failure(source, error)] if error else []
    told = f"{len(targets) - len(failures)} of {len(targets)} pictures are in {out}"
    console.print(told, markup=False, soft_wrap=True)
    if failures:
        console.print("These failed:\n" + "\n".join(failures), markup=False, soft_wrap=True)
        raise typer.Exit(1)


class _Watched:
    """Shows how far the optimisation of a picture is, and keeps pictures of its way in a folder, if there is one."""

    def __init__(self, bar: Progress, folder: Path | None) -> None:
        self.bar, self.folder, self.name = bar, folder, ""
        self.task: Any = None

    def __call__(self, step: int, total: int, picture: Tensor) -> None:
        if self.task is None:
            self.task = self.bar.add_task("optimising", total=total)
        self.bar.update(self.task, completed=step, total=total)
        if self.folder and (step * PREVIEWS // total > (step - 1) * PREVIEWS // total or step == 1):
            from stylekit import images

            self.folder.mkdir(parents=True, exist_ok=True)
            images.write(self.folder / f"{self.name}-{step:05}.png", picture[:1])


def _failure(source: Path, error: Exception) -> str:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return reason if str(source) in reason else f"{source}: {reason}"


def plan(pictures: list[Path], out: Path) -> dict[Path, Path]:
    """Where each picture goes: below ``out`` as below its folder, or to ``out`` itself for one picture and a file's name.

    Raises:
        StylekitError: a path is missing, there are no pictures, or a picture would be written over an input.
    """
    sources: dict[Path, Path] = {}  # a picture that is named twice is one
    for path in pictures:
        if path.is_dir():
            sources |= {picture: picture.relative_to(path) for picture in find(path)}
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
    inputs = {source.resolve() for source in targets}
    for target in targets.values():
        if target.resolve() in inputs:
            raise StylekitError(f"{target} is one of the pictures to read, and is not overwritten. Give another --out.")
    return targets


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
