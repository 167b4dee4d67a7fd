"""``stylekit weights``: lists and downloads published pretrained weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from stylekit.cli.output import echo
from stylekit.errors import StylekitError
from stylekit.weights import pretrained

weights = typer.Typer(help="List and download published pretrained weights.", no_args_is_help=True)


@weights.command("list")
def list_() -> None:
    """List the known published weights: whether they are downloaded (and verified), their size, licence and URL."""
    for known in pretrained.PUBLISHED.values():
        state, errors = _state(pretrained.cache_folder() / known.file)
        lines = (f"{known.name}: {known.what}", f"  {state}, {known.told_size}; {known.licence}", f"  {known.url}")
        echo(*lines, *errors)
    echo(f"Weights are kept in {pretrained.cache_folder()}.")


def _state(path: Path) -> tuple[str, list[str]]:
    """Whether a published file was fetched, and any error in it."""
    if not path.is_file():
        return "not fetched", []
    try:
        pretrained.verify(path)
    except StylekitError as error:
        return "fetched, but cannot be used", [f"  {error}"]
    return "fetched", []


@weights.command()
def fetch(
    name: Annotated[str, typer.Argument(help="name of the weights, as listed by stylekit weights list")],
    offline: Annotated[bool, typer.Option("--offline", help="do not use the network")] = False,
    source: Annotated[Path | None, typer.Option("--from", help="copy this file instead of downloading it")] = None,
) -> None:
    """Download weights once and verify them. Afterwards they are used automatically."""
    known = pretrained.PUBLISHED.get(name)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=known.size if known else None)
        path = pretrained.fetch(name, offline, source, lambda size: bar.advance(task, size))
    echo(str(path))
