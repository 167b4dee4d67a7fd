"""``stylekit sample``: draws images with a model that needs no content image."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stylekit._files import explain_os_errors
from stylekit.cli.options import Device, Overwrite, PluginFiles, Quiet, With
from stylekit.cli.output import echo
from stylekit.cli.progress import track
from stylekit.cli.targets import check_overwrite, is_file_name
from stylekit.errors import StylekitError, counted
from stylekit.registry import lookup
from stylekit.training.written import read_assignments

if TYPE_CHECKING:
    from torch import Tensor

FRAME = 40
"""How long each image of a walk is shown, in milliseconds."""


def command(
    model: Annotated[str, typer.Option("--model", help="a run's folder, a model file, or a shipped model")],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="folder to write to: 00000.png and so on; or an image file for a sheet of all, with --walk an animation",
        ),
    ],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="number of samples")] = 16,
    walk: Annotated[
        int,
        typer.Option(
            min=0, metavar="STEPS", help="write this many images on the way from each sample to the next one; 0: none"
        ),
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="random seed; sample i depends only on the seed and i")] = 0,
    with_: With = None,
    device: Device = "auto",
    plugin: PluginFiles = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Draw images with a model that needs no content image, such as a model of digits or textures.

    For example: [bold]stylekit sample --model runs/digits -n 16 --with label=3 -o threes[/bold]

    Or, as an animation: [bold]stylekit sample --model runs/digits -n 6 --walk 20 -o walk.gif[/bold]
    """
    for file in plugin or []:
        lookup.add_file(file)
    from stylekit.images.animation import require_animated
    from stylekit.inference.loading import load

    total, single = count * max(walk, 1), is_file_name(out)
    if out.exists() and not out.is_dir() and not single:
        raise StylekitError(f"{out} is a file, but neither an image nor a folder. Give another --out.")
    targets = [out] if single else [out / f"{index:05}.png" for index in range(total)]
    for target in targets:
        check_overwrite(target, overwrite)
    if walk and single:
        require_animated(out, total)
    loaded, options = load(model, device), read_assignments(with_ or [], "--with")
    drawn = loaded.walk(count, walk, seed=seed, **options) if walk else loaded.draw(count, seed=seed, **options)
    samples = track(drawn, "images", total, quiet)
    if not single:
        write_each(targets, samples)
    elif walk:
        write_animation(out, list(samples))
    else:
        write_sheet(out, list(samples))
    if not quiet:
        echo(f"Wrote {counted(total, 'image')} to {out}", stderr=True)


def write_each(targets: Sequence[Path], samples: Iterable[Tensor]) -> None:
    """Writes samples ``(1, 3, H, W)`` to a file each, as soon as they are drawn."""
    from stylekit import images

    for target, image in zip(targets, samples, strict=True):
        with explain_os_errors(target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
        images.write(target, image)


def write_animation(out: Path, samples: Sequence[Tensor]) -> None:
    """Writes samples as the frames of an animation that starts again at its end."""
    from stylekit.images import Animation, Picture, write_frames

    frames = [Picture(image.cpu()) for image in samples]
    write_frames(out, Animation(frames, [FRAME] * len(frames), loop=0, format=""))


def write_sheet(out: Path, samples: Sequence[Tensor]) -> None:
    """Writes samples in rows and columns, as many columns as rows or one more."""
    from stylekit import images
    from stylekit.training.sample_grid import grid

    columns = math.ceil(math.sqrt(len(samples)))
    tiles = [image[0] for image in samples]
    images.write(out, grid([tiles[first : first + columns] for first in range(0, len(tiles), columns)]))
