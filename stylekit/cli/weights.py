"""``stylekit weights``: weights that others published, listed and fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from stylekit.cli.output import echo
from stylekit.errors import StylekitError
from stylekit.weights import pretrained

weights = typer.Typer(help="List and fetch weights that others published.", no_args_is_help=True)


@weights.command("list")
def list_() -> None:
    """List the published weights that are known: whether they are here (verified), their size, licence and address."""
    for known in pretrained.PUBLISHED.values():
        state, wrong = _state(pretrained.cache_folder() / known.file)
        lines = (f"{known.name}: {known.what}", f"  {state}, {known.told_size}; {known.licence}", f"  {known.url}")
        echo("\n".join((*lines, *wrong)))
    echo(f"They are kept in {pretrained.cache_folder()}.")


def _state(path: Path) -> tuple[str, list[str]]:
    """Whether a published file is here, and what is wrong with it."""
    if not path.is_file():
        return "not fetched", []
    try:
        pretrained.verify(path)
    except StylekitError as error:
        return "here, but cannot be used", [f"  {error}"]
    return "here", []


@weights.command()
def fetch(
    name: Annotated[str, typer.Argument(help="which: see stylekit weights list")],
    offline: Annotated[bool, typer.Option("--offline", help="do not use the network")] = False,
    source: Annotated[Path | None, typer.Option("--from", help="a file that you have, to take instead")] = None,
) -> None:
    """Fetch weights once, and verify them; from then on they are found by themselves."""
    known = pretrained.PUBLISHED.get(name)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=known.size if known else None)
        path = pretrained.fetch(name, offline, source, lambda size: bar.advance(task, size))
    echo(str(path))
