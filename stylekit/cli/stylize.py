"""``stylekit stylize``: pictures and folders in, pictures of the same size out."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from PIL import Image
from rich.console import Console
from rich.progress import track

from stylekit import plugins
from stylekit.errors import StylekitError
from stylekit.layouts import SUFFIXES, find

if TYPE_CHECKING:
    from stylekit.model import Model


def command(
    pictures: Annotated[list[Path], typer.Argument(help="pictures, or folders of pictures")],
    model: Annotated[Path, typer.Option("--model", help="folder of a run, or a model file")],
    out: Annotated[Path, typer.Option("--out", "-o", help="folder to write to, or the file for a single picture")],
    direction: Annotated[str | None, typer.Option(help="for methods that go both ways, such as b-to-a")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps")] = "auto",
    plugin: Annotated[Path | None, typer.Option(help=".py file of the method, if it is no installed plugin")] = None,
) -> None:
    """Stylise pictures; each keeps its size, its transparency and its place below a folder."""
    targets = plan(pictures, out)
    if plugin:
        plugins.add_file(plugin)
    from stylekit.model import load

    loaded = load(model, device)
    loaded.check_direction(direction)
    with contextlib.suppress(RuntimeError, MemoryError):  # these are told for each picture
        loaded.require_memory(1, 1, direction)
    console = Console(stderr=True, highlight=False)
    failures = []
    for source, target in track(targets.items(), "stylising", console=console, disable=not console.is_terminal):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _stylize(loaded, source, target, direction)
        except (StylekitError, OSError, RuntimeError, MemoryError) as error:
            failures.append(_failure(source, error))
    console.print(
        f"{len(targets) - len(failures)} of {len(targets)} pictures are in {out}", markup=False, soft_wrap=True
    )
    if failures:
        console.print("These failed:\n" + "\n".join(failures), markup=False, soft_wrap=True)
        raise typer.Exit(1)


def _failure(source: Path, error: Exception) -> str:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return reason if str(source) in reason else f"{source}: {reason}"


def _stylize(model: Model, source: Path, target: Path, direction: str | None) -> None:
    from stylekit import images

    picture = images.read(source)
    height, width = picture.image.shape[-2:]
    model.require_memory(height, width, direction)
    styled = model.stylize_picture(picture, direction=direction)
    images.write(target, styled.image, styled.alpha, styled.icc_profile, styled.exif)


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
