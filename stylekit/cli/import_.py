"""``stylekit import``: converts the weights of another program to a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylekit.cli.options import Overwrite
from stylekit.cli.output import echo
from stylekit.cli.targets import check_overwrite, keep_inputs


def command(
    files: Annotated[
        list[Path], typer.Argument(help="one or more files with the weights of one model: .pth, .safetensors")
    ],
    plugin: Annotated[str, typer.Option("--plugin", help="method that the weights are for")],
    out: Annotated[Path, typer.Option("--out", "-o", help="model file to write (.safetensors)")],
    overwrite: Overwrite = False,
) -> None:
    """Convert the weights of another program to a model file. Code in the files is never run."""
    keep_inputs([out], files)
    check_overwrite(out, overwrite)
    from stylekit.inference.importing import import_model

    summary = import_model(files, plugin, out)
    echo(f"{out}: {summary}", stderr=True)
