"""``stylekit publish``: writes a folder for the Hugging Face hub, and uploads it when told to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylekit.cli.options import PluginFiles
from stylekit.cli.output import echo
from stylekit.cli.targets import check_overwrite
from stylekit.registry import lookup


def command(
    model: Annotated[str, typer.Argument(help="a run's folder, or a model file")],
    out: Annotated[Path, typer.Option("--out", "-o", help="folder to write")],
    licence: Annotated[
        str, typer.Option(help="the hub's identifier of the weights' licence, such as cc-by-4.0")
    ] = "other",
    report: Annotated[Path | None, typer.Option(help="report.json of stylekit evaluate, for the card")] = None,
    upload: Annotated[
        str, typer.Option(metavar="NAME", help="upload the folder to the hub under this name, as ada/horses")
    ] = "",
    plugin: PluginFiles = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace the files in the folder")] = False,
) -> None:
    """Write a model as a folder for the Hugging Face hub: config.json, model.safetensors, and a card to read and complete.

    For example: [bold]stylekit publish runs/horses -o horses --licence cc-by-4.0[/bold]

    Nothing leaves this machine without --upload.
    """
    for file in plugin or []:
        lookup.add_file(file)
    check_overwrite(out, overwrite)
    from stylekit.inference import hub
    from stylekit.inference.loading import load

    run = Path(model) if (Path(model) / "run.json").is_file() else None
    hub.save_pretrained(load(model, "cpu"), out, run, report, licence)
    echo(str(out))
    if upload:
        echo(hub.upload(out, upload))
