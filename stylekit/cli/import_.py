"""``stylekit import``: weights of other programs become a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylekit.cli.output import echo


def command(
    files: Annotated[list[Path], typer.Argument(help="weights: .pth or .safetensors, one or several for one model")],
    plugin: Annotated[str, typer.Option("--plugin", help="method that they are for")],
    out: Annotated[Path, typer.Option("--out", "-o", help="model file to write (.safetensors)")],
) -> None:
    """Turn weights of another program into a model file. No code in the files is run."""
    from stylekit.inference.model_files import import_model

    told = import_model(files, plugin, out)
    echo(f"{out}: {told}", stderr=True)
