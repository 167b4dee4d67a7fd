"""``stylekit cube``: writes a transfer of colours as a .cube file, a table that video and photo editors apply."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stylekit._files import write_atomic
from stylekit.cli.options import FILES, STYLE, Overwrite, Strength
from stylekit.cli.targets import check_overwrite, keep_inputs
from stylekit.errors import StylekitError, printable

if TYPE_CHECKING:
    from torch import Tensor


def command(
    picture: Annotated[Path, typer.Argument(help="an image with typical colours, such as a frame of the clip")],
    style: Annotated[Path, typer.Option("--style", help="the image whose colours it gets", rich_help_panel=STYLE)],
    out: Annotated[Path, typer.Option("--out", "-o", help="the .cube file to write", rich_help_panel=FILES)],
    size: Annotated[
        int, typer.Option(min=2, max=256, help="number of values of red, green and blue each", rich_help_panel=FILES)
    ] = 33,
    strength: Strength = 1.0,
    overwrite: Overwrite = False,
) -> None:  # fmt: skip
    """Write the colours that color-pca gives an image as a lookup table for video and photo editors.

    For example: [bold]stylekit cube frame.png --style painting.jpg -o painting.cube[/bold]

    An editor gives all frames of a clip the same change of colours with it. Colours are sRGB values from 0 to 1.
    """
    if out.suffix.lower() != ".cube":
        raise StylekitError(f"A table of colours is a .cube file, unlike {out}.")
    keep_inputs([out], [picture, style])
    check_overwrite(out, overwrite)
    from stylekit import images
    from stylekit.images import color
    from stylekit.inference import controls

    controls.check_controls(strength, None)
    table = color.color_table(
        images.read_over_white(picture), *color.color_stats(images.read_over_white(style)), strength, size
    )
    write_atomic(out, cube_text(table, f"{picture.stem} with the colours of {style.stem}"))


def cube_text(table: Tensor, title: str) -> str:
    """A table ``(size, size, size, 3)`` of colours by blue, green and red, as the text of a .cube file.

    Source: Adobe, "Cube LUT Specification", version 1.0: red changes fastest.
    """
    rows = "\n".join(" ".join(f"{value:.6f}" for value in row) for row in table.reshape(-1, 3).tolist())
    quoted = printable(title).replace('"', "'")
    return f'TITLE "{quoted}"\nLUT_3D_SIZE {len(table)}\nDOMAIN_MIN 0 0 0\nDOMAIN_MAX 1 1 1\n{rows}\n'
