"""``stylekit sample``: draws images with a model that needs no content image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylekit._files import explain_os_errors
from stylekit.cli.options import Device, Overwrite, PluginFiles, Quiet, With
from stylekit.cli.output import echo
from stylekit.cli.progress import track
from stylekit.cli.targets import check_overwrite
from stylekit.errors import StylekitError
from stylekit.registry import lookup
from stylekit.training.settings import read_assignments


def command(
    model: Annotated[str, typer.Option("--model", help="a run's folder, a model file, or a shipped model")],
    out: Annotated[Path, typer.Option("--out", "-o", help="folder to write to: 00000.png and so on")],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="number of images")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="random seed; image i depends only on the seed and i")] = 0,
    with_: With = None,
    device: Device = "auto",
    plugin: PluginFiles = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Draw images with a model that needs no content image, such as a model of digits or textures.

    For example: [bold]stylekit sample --model runs/digits -n 16 --with label=3 -o threes[/bold]
    """
    for file in plugin or []:
        lookup.add_file(file)
    from stylekit import images
    from stylekit.inference.model import load

    if out.exists() and not out.is_dir():
        raise StylekitError(f"{out} is a file, but samples are written to a folder. Give another --out.")
    targets = [out / f"{index:05}.png" for index in range(count)]
    for target in targets:
        check_overwrite(target, overwrite)
    loaded = load(model, device)
    samples = loaded.draw(count, seed=seed, **read_assignments(with_ or [], "--with"))
    for target, image in zip(targets, track(samples, "images", count, quiet), strict=True):
        with explain_os_errors(out):
            out.mkdir(parents=True, exist_ok=True)
        images.write(target, image)
    if not quiet:
        echo(f"Wrote {count} images to {out}", stderr=True)
