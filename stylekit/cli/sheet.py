"""``stylekit sheet``: a contact sheet that shows an image in many styles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stylekit.cli.failures import failure
from stylekit.cli.options import (
    DEFAULT_MODEL,
    FILES,
    STYLE,
    Assignments,
    Device,
    KeepColor,
    ModelName,
    Overwrite,
    PluginFiles,
    Quiet,
    Seed,
    Strength,
    StyleScale,
    With,
    method_options,
)
from stylekit.cli.output import echo
from stylekit.cli.progress import track
from stylekit.cli.style_arguments import StyleMix, read_style_mixes
from stylekit.cli.targets import check_overwrite, keep_inputs
from stylekit.errors import StylekitError
from stylekit.registry import lookup
from stylekit.training.written import read_assignments

if TYPE_CHECKING:
    from torch import Tensor

    from stylekit.inference.model import Model


def command(
    picture: Annotated[Path, typer.Argument(help="the image")],
    style: Annotated[
        list[str] | None,
        typer.Option(
            "--style", metavar="STYLE", rich_help_panel=STYLE,
            help="a folder of styles, an image, a .style file or the name of a style of the model; by default all styles of "
            "the model",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="image to write", rich_help_panel=FILES)] = Path("sheet.png"),
    tile: Annotated[
        int, typer.Option(min=16, help="longer side of each tile, in pixels", rich_help_panel=FILES)
    ] = 320,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    strength: Strength = 1.0,
    keep_color: KeepColor = None,
    style_scale: StyleScale = 1.0,
    model: ModelName = DEFAULT_MODEL,
    seed: Seed = 0,
    with_: With = None,
    assignments: Assignments = None,
    device: Device = "auto",
    plugin: PluginFiles = None,
) -> None:  # fmt: skip
    """Show an image in many styles, side by side, with the name of each.

    For example: [bold]stylekit sheet photo.jpg --style paintings -o sheet.png[/bold]

    Every tile is stylised at its own size, so strokes look larger than in a large photo: see --tile and --style-scale.
    """
    keep_inputs([out], [picture, *map(Path, style or [])])
    check_overwrite(out, overwrite)
    mixes, _ = read_style_mixes(style or [], each=True)
    for file in plugin or []:
        lookup.add_file(file)
    from stylekit import images
    from stylekit.inference.loading import load
    from stylekit.training import sample_grid

    loaded = load(model, device, **method_options(assignments or []))
    loaded.require_pictures()
    mixes = mixes if style else _learned(loaded)
    options: dict[str, Any] = {"strength": strength, "keep_color": keep_color, "seed": seed}
    options |= read_assignments(with_ or [], "--with")
    image = _read(picture, tile)
    tiles, failures = [(picture.stem, image)], []
    for mix in track(mixes, "styles", len(mixes), quiet):
        [(source, _)] = mix.styles
        try:
            tiles.append((str(mix.name), loaded.stylize(image, loaded.style(source, style_scale), **options)))
        except Exception as error:  # any error: the other styles are still shown
            if len(mixes) == 1:
                raise
            failures.append(failure(source, error))
    if len(tiles) > 1:
        images.write(out, sample_grid.contact_sheet([(name, each[0].cpu()) for name, each in tiles]))
        if not quiet:
            echo(f"wrote {len(tiles) - 1} of {len(mixes)} styles to {out}", stderr=True)
    if failures:
        echo("Failed:", *failures, stderr=True)
        raise typer.Exit(1)


def _read(path: Path, side: int) -> Tensor:
    """An image, over white, with a longer side of ``side`` pixels."""
    from stylekit import images

    image = images.read_over_white(path)
    height, width = image.shape[-2:]
    return images.resize(image, images.scaled((height, width), side / max(height, width)))


def _learned(model: Model) -> list[StyleMix]:
    """The styles that the model has learned.

    Raises:
        StylekitError: it has none.
    """
    names = [*model.method.styles()]
    if not names:
        raise StylekitError("The model has no styles of its own. Give some with --style, such as a folder of images.")
    return [StyleMix(name, ((name, 1.0),)) for name in names]
