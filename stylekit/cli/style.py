"""``stylekit style``: learns styles from folders of images, as small style files."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stylekit.cli.failures import failure
from stylekit.cli.options import DEFAULT_MODEL, Overwrite
from stylekit.cli.output import Json, echo, print_json
from stylekit.cli.progress import track
from stylekit.cli.targets import check_overwrite, keep_inputs
from stylekit.datasets.files import SUFFIXES, find_images
from stylekit.errors import StylekitError, warn

if TYPE_CHECKING:
    from torch import Tensor

    from stylekit.inference.model import Model
    from stylekit.inference.styles import Style
    from stylekit.method import Statistics

style = typer.Typer(help="Learn styles from folders of images, and show them.", no_args_is_help=True)

TUNED_CROP = 2.0
"""Tuning uses crops of images of 512 pixels, so that strokes are as large as when the style is described."""

Named = Annotated[
    str, typer.Option("--model", help="the model to stylise with: a name, a run's folder or a model file")
]


@style.command()
def learn(
    folder: Annotated[Path, typer.Argument(help="folder of images in that style")],
    out: Annotated[Path, typer.Option("--out", "-o", help="style file to write (.style)")],
    model: Named = DEFAULT_MODEL,
    overwrite: Overwrite = False,
    looks: Annotated[
        int, typer.Option(min=1, help="maximum number of looks: clusters of similar images with a style of their own")
    ] = 3,
    style_scale: Annotated[
        float, typer.Option(help="factor on the sides of the images: above 1, larger strokes")
    ] = 1.0,
    tune: Annotated[
        Path | None,
        typer.Option(help="folder of photos to fine-tune the model on for this style: slower, but closer to the style"),
    ] = None,
    tune_steps: Annotated[int, typer.Option(min=1, help="fine-tuning steps")] = 200,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps")] = "auto",
) -> None:
    """Learn a style from all the images of a folder, and write it to a small file.

    Similar images are grouped into looks (clusters). [bold]--style mine.style[/bold] blends all looks, weighted by the
    number of images in each, and [bold]--style mine.style#2[/bold] uses only the second. [bold]--tune photos[/bold] also
    fine-tunes the model on this style and writes it next to the style file, as mine.safetensors.
    """
    from stylekit.inference import controls
    from stylekit.inference.clusters import cluster_styles
    from stylekit.inference.loading import load
    from stylekit.inference.styles import Style, check_style_name, write_style

    images = _images(folder)
    check_style_name(out)
    _check_place(out, overwrite)
    controls.check_scale(style_scale)
    loaded = load(model, device)
    loaded.require_style_images()
    if tune is not None:
        loaded, model = _tuned(loaded, model, folder, tune, tune_steps, out), str(out.with_suffix(".safetensors"))
    described = _described(loaded, images, style_scale)
    if not described:
        raise StylekitError(f"None of the {len(images)} images in {folder} could be used. The warnings say why.")
    statistics, shares = cluster_styles(described, looks)
    write_style(out, Style(statistics, shares, loaded.style_key, loaded.name))
    summary = (
        f"{out}: {_count(len(described), 'image')}, {_count(len(shares), 'look')} ({_shares(shares)}), {_size(out)}"
    )
    model_option = "" if model == DEFAULT_MODEL else f" --model {shlex.quote(model)}"
    echo(summary, f"Use it: stylekit stylize PICTURE{model_option} --style {shlex.quote(str(out))} -o OUT")


def _check_place(out: Path, overwrite: bool) -> None:
    """Checks that a file can be written, before the work for it is done.

    Raises:
        StylekitError: it exists and is not to be overwritten, is a folder, or its parent folder does not exist.
    """
    check_overwrite(out, overwrite)
    if out.is_dir():
        raise StylekitError(f"Cannot write {out}: it is a folder. Give another --out.")
    if not out.parent.is_dir():
        raise StylekitError(f"Cannot write {out}: there is no folder {out.parent}. Create it, or give another --out.")


def _images(folder: Path) -> list[Path]:
    files = find_images(folder)
    if not files:
        raise StylekitError(f"There are no images in {folder} ({', '.join(sorted(SUFFIXES))}).")
    return files


def _described(model: Model, images: Sequence[Path], scale: float) -> list[Statistics]:
    """The statistics that the model computes for each image that can be read."""
    described = []
    for image in track(images, "images", len(images)):
        try:
            described.append(model.style(image, scale).statistics)
        except Exception as error:  # any error: the other images are still used
            warn(f"Left out: {failure(image, error)}")
    return described


def _tuned(model: Model, source: str, style: Path, photos: Path, steps: int, out: Path) -> Model:
    """Fine-tunes a model on one style, and writes it next to the style file; so is the run's folder."""
    from stylekit.inference.loading import load
    from stylekit.inference.model_files import save_model
    from stylekit.inference.model_headers import json_arguments
    from stylekit.training.engine import train
    from stylekit.training.runs import Run

    if not model.method.fine_tuning:
        raise StylekitError(f"A model of the method {model.name!r} cannot be fine-tuned. Leave out --tune.")
    _images(photos)
    model_file, folder = out.with_suffix(".safetensors"), out.with_name(f"{out.stem}-tuning")
    for path in (model_file, folder):
        if path.exists():
            raise StylekitError(f"{path} already exists. Remove it, or give the style file another name.")
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
    save_model(tuned.method, tuned.name, model_file)
    return tuned


@style.command()
def show(
    file: Annotated[Path, typer.Argument(help="style file")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="image to write: the content stylised with each of the looks")
    ] = None,
    overwrite: Overwrite = False,
    model: Named = DEFAULT_MODEL,
    content: Annotated[
        Path | None, typer.Option("--content", help="image to show the looks on; a drawn scene by default")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps")] = "auto",
    json: Json = False,
) -> None:
    """Show what is in a style file, and whether a model can use it. With [bold]-o[/bold], write an image of its looks."""
    from stylekit.inference.loading import load
    from stylekit.inference.styles import read_style, statistics_shapes

    if out:
        keep_inputs([out], [file, content] if content else [file])
        _check_place(out, overwrite)
    learned, loaded = read_style(file), load(model, device)
    error = None
    try:
        loaded.style(learned)
    except StylekitError as unusable:
        if out:
            raise
        error = str(unusable)
    facts = {
        "file": str(file),
        "bytes": file.stat().st_size,
        "method": learned.method,
        "key": learned.key,
        "looks": learned.shares.tolist(),
        "statistics": {name: list(shape) for name, shape in statistics_shapes(learned.statistics).items()},
        "model": model,
        "error": error,
    }
    if out:
        _picture(loaded, learned, content, out)
    if json:
        print_json(facts)
    else:
        _show(facts)


def _show(facts: dict[str, Any]) -> None:
    """Prints the facts about a style file as text."""
    echo(f"{facts['file']}: a style of {_count(len(facts['looks']), 'look')}, {facts['bytes'] / 1024:.1f} KiB")
    echo(f"described by the method {facts['method']}, key {facts['key']}")
    echo(*(f"look {number}: {share:.0%} of the images" for number, share in enumerate(facts["looks"], 1)))
    for name, shape in facts["statistics"].items():
        echo(f"statistics {name}: {' x '.join(map(str, shape)) or 'a number'}")
    echo(f"{facts['model']} cannot use it: {facts['error']}" if facts["error"] else f"{facts['model']} can use it")


def _picture(model: Model, style: Style, content: Path | None, out: Path) -> None:
    """Writes a row of images: the content, stylised with the whole style, and with each look alone."""
    from stylekit import images
    from stylekit.training import sample_grid

    image = _scene() if content is None else images.read(content).image
    looks = [style] if len(style.shares) == 1 else [style, *(style.look(n + 1) for n in range(len(style.shares)))]
    labels = ["content", "style", *(f"look {n + 1}: {share:.0%}" for n, share in enumerate(style.shares.tolist()))]
    columns = [image, *(model.stylize(image, look) for look in looks)]
    images.write(out, sample_grid.grid([[each[0].cpu() for each in columns]], labels[: len(columns)]))


def _scene() -> Tensor:
    from stylekit.registry.parts import make

    scene: Tensor = make("dataset", "scenes", size=256, split="test")[0]["content"][None]
    return scene


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _shares(shares: Tensor) -> str:
    return ", ".join(f"{share:.0%}" for share in shares.tolist())


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 1024:.1f} KiB"
