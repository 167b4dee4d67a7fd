"""``stylekit prune``: writes a lighter model, whose generators keep a share of their channels."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from stylekit.cli.options import Overwrite, PluginFiles
from stylekit.cli.output import echo
from stylekit.cli.targets import check_overwrite, keep_inputs
from stylekit.registry import lookup


def command(
    model: Annotated[str, typer.Argument(help="a run's folder, or a model file")],
    out: Annotated[Path, typer.Option("--out", "-o", help="model file to write (.safetensors)")],
    keep: Annotated[float, typer.Option(help="share of the channels to keep, above 0 and at most 1")] = 0.5,
    plugin: PluginFiles = None,
    overwrite: Overwrite = False,
) -> None:
    """Remove the channels of a model's generators whose filters have the smallest norms. Train what is left further.

    For example: [bold]stylekit prune runs/horses -o light.safetensors --keep 0.5[/bold]

    Operations fall with the square of the share. The pictures are worse until the file is trained further: give it to
    `stylekit train --init`, with the --set that is printed.
    """
    for file in plugin or []:
        lookup.add_file(file)
    check_overwrite(out, overwrite)
    from stylekit.inference.model_files import find_model_file
    from stylekit.inference.pruning import prune

    keep_inputs([out], [find_model_file(Path(model)) or Path(model)])
    generator = prune(model, out, keep)
    echo(f"{out}: --set {shlex.quote(f'generator={json.dumps(generator)}')}", stderr=True)
