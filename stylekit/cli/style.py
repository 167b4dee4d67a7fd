"""``stylekit style``: small files that hold what a model knows of a style."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import track

from stylekit.cli.failures import failure
from stylekit.cli.output import echo
from stylekit.cli.stylize import DEFAULT_MODEL
from stylekit.cli.targets import keep_inputs
from stylekit.datasets.files import SUFFIXES, find_images
from stylekit.errors import StylekitError, warn

if TYPE_CHECKING:
    from torch import Tensor

    from stylekit.inference.model import Model
    from stylekit.inference.styles import Style
    from stylekit.method import Statistics

style = typer.Typer(help="Make styles of folders of pictures, and look at them.", no_args_is_help=True)

TUNED_CROP = 2.0
"""Tuning sees parts of pictures of 512 pixels: strokes have the size that they have when a style is looked at."""

Named = Annotated[
    str, typer.Option("--model", help="the model that is to stylise: a name, a run's folder or a model file")
]


@style.command()
def learn(
    folder: Annotated[Path, typer.Argument(help="folder of pictures in that style")],
    out: Annotated[Path, typer.Option("--out", "-o", help="style file to write (.style)")],
    model: Named = DEFAULT_MODEL,
    looks: Annotated[int, typer.Option(min=1, help="kinds of pictures to tell apart, at most")] = 3,
    style_scale: Annotated[float, typer.Option(help="factor on the pictures' sides: above 1, larger strokes")] = 1.0,
    tune: Annotated[
        Path | None,
        typer.Option(help="folder of photos, to train the model on with this style: slower, and nearer to it"),
    ] = None,
    tune_steps: Annotated[int, typer.Option(min=1, help="steps of that training")] = 200,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps")] = "auto",
) -> None:
    """Look at every picture of a folder, and keep the style of all in a small file.

    Pictures that are like each other make a look. [bold]--style mine.style[/bold] blends the looks by how many pictures
    each has, and [bold]--style mine.style#2[/bold] takes the second alone. With [bold]--tune photos[/bold] the model
    itself learns on, for this style, and is written beside it: mine.safetensors.
    """
    from stylekit.inference import controls
    from stylekit.inference.clusters import cluster_styles
    from stylekit.inference.model import load
    from stylekit.inference.styles import Style, check_style_name, write_style

    pictures = _pictures(folder)
    check_style_name(out)
    _check_place(out)
    controls.check_scale(style_scale)
    loaded = load(model, device)
    loaded.require_style_images()
    if tune is not None:
        loaded, model = _tuned(loaded, model, folder, tune, tune_steps, out), str(out.with_suffix(".safetensors"))
    described = _described(loaded, pictures, style_scale)
    if not described:
        raise StylekitError(f"None of the {len(pictures)} pictures in {folder} could be looked at.")
    statistics, shares = cluster_styles(described, looks)
    write_style(out, Style(statistics, shares, loaded.style_key, loaded.name))
    told = (
        f"{out}: {_count(len(described), 'picture')}, {_count(len(shares), 'look')} ({_shares(shares)}), {_size(out)}"
    )
    named = "" if model == DEFAULT_MODEL else f" --model {shlex.quote(model)}"
    echo(f"{told}\nUse it: stylekit stylize PICTURE{named} --style {shlex.quote(str(out))} -o OUT")


def _check_place(out: Path) -> None:
    """Refuses a file that cannot be written before the work for it is done.

    Raises:
        StylekitError: it is a folder, or the folder that it is to lie in is not there.
    """
    if out.is_dir():
        raise StylekitError(f"{out} cannot be written: it is a folder.")
    if not out.parent.is_dir():
        raise StylekitError(f"{out} cannot be written: there is no folder {out.parent}.")


def _pictures(folder: Path) -> list[Path]:
    pictures = find_images(folder) if folder.is_dir() else []
    if not pictures:
        raise StylekitError(f"{folder} is no folder with pictures ({', '.join(sorted(SUFFIXES))}).")
    return pictures


def _described(model: Model, pictures: Sequence[Path], scale: float) -> list[Statistics]:
    """What the model takes from each of the pictures that can be read."""
    console = Console(stderr=True, highlight=False)
    described = []
    for picture in track(pictures, "looking", console=console, disable=not console.is_terminal):
        try:
            described.append(model.style(picture, scale).statistics)
        except Exception as error:  # whatever it is, the others are looked at
            warn(f"Left out: {failure(picture, error)}")
    return described


def _tuned(model: Model, source: str, style: Path, photos: Path, steps: int, out: Path) -> Model:
    """Trains a model on, for one style, and writes it beside the style file; the run's folder lies there too."""
    from stylekit.inference.model import load
    from stylekit.inference.model_files import json_arguments, save_model
    from stylekit.training.engine import train
    from stylekit.training.runs import Run

    if not model.method.fine_tuning:
        raise StylekitError(f"A model of the method {model.name!r} cannot be tuned. Leave --tune out.")
    _pictures(photos)
    written, folder = out.with_suffix(".safetensors"), out.with_name(f"{out.stem}-tuning")
    for path in (written, folder):
        if path.exists():
            raise StylekitError(f"{path} is there already. Remove it, or give the style file another name.")
    run = train(
        model.name,
        progress=True,
        set=json_arguments({**model.method.arguments, **model.method.fine_tuning}),
        init=source,
        data={"content": str(photos), "style": str(style), "crop": TUNED_CROP},
        steps=steps,
        device=model.device.type,
        out=folder,
    )
    if Run(run).interrupted:
        raise typer.Exit(130)
    tuned = load(run, model.device.type)
    save_model(tuned.method, tuned.name, written)
    return tuned


@style.command()
def show(
    file: Annotated[Path, typer.Argument(help="style file")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="picture to write: a scene in each of the looks")
    ] = None,
    model: Named = DEFAULT_MODEL,
    content: Annotated[
        Path | None, typer.Option("--content", help="picture to show the looks on; a drawn scene")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps")] = "auto",
) -> None:
    """Tell what is in a style file, and whether a model can use it; with [bold]-o[/bold], picture it."""
    from stylekit.inference.model import load
    from stylekit.inference.styles import read_style, statistics_shapes

    if out:
        keep_inputs([out], [file, content] if content else [file])
        _check_place(out)
    read, loaded = read_style(file), load(model, device)
    echo(f"{file}: a style of {_count(len(read.shares), 'look')}, {_size(file)}")
    echo(f"described by the method {read.method}, key {read.key}")
    for number, share in enumerate(read.shares.tolist(), 1):
        echo(f"look {number}: {share:.0%} of the pictures")
    for name, shape in statistics_shapes(read.statistics).items():
        echo(f"statistics {name}: {' x '.join(map(str, shape)) or 'a number'}")
    try:
        loaded.style(read)
    except StylekitError as error:
        if out:
            raise
        echo(f"{model} cannot use it: {error}")
        return
    echo(f"{model} can use it")
    if out:
        _picture(loaded, read, content, out)


def _picture(model: Model, style: Style, content: Path | None, out: Path) -> None:
    """Writes a sheet: the content, the whole style, and each look alone."""
    from stylekit import images
    from stylekit.training import sample_grid

    image = _scene() if content is None else images.read(content).image
    looks = [style] if len(style.shares) == 1 else [style, *(style.look(n + 1) for n in range(len(style.shares)))]
    labels = ["content", "style", *(f"look {n + 1}: {share:.0%}" for n, share in enumerate(style.shares.tolist()))]
    made = [image, *(model.stylize(image, look) for look in looks)]
    images.write(out, sample_grid.grid([[each[0].cpu() for each in made]], labels[: len(made)]))


def _scene() -> Tensor:
    from stylekit.registry.parts import make

    scene: Tensor = make("dataset", "scenes", size=256, split="test")[0]["content"][None]
    return scene


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _shares(shares: Tensor) -> str:
    return ", ".join(f"{share:.0%}" for share in shares.tolist())


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 1024:.1f} KiB"
