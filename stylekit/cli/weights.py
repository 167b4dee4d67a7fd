"""``stylekit weights``: lists and downloads published pretrained weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from stylekit.cli.output import Json, echo, print_json
from stylekit.errors import StylekitError, explain
from stylekit.weights import pretrained

weights = typer.Typer(help="List and download published pretrained weights.", no_args_is_help=True)


@weights.command("list")
def list_(json: Json = False) -> None:
    """List the known published weights: whether they are downloaded (and verified), their size, licence and URL."""
    known = pretrained.PUBLISHED.values()
    facts: dict[str, Any] = {"folder": str(pretrained.cache_folder()), "weights": [_facts(each) for each in known]}
    if json:
        print_json(facts)
        return
    for each in facts["weights"]:
        state = "fetched, but cannot be used" if each["state"] == "unusable" else each["state"]
        size = f"{each['bytes'] / 1e6:.0f} MB" if each["bytes"] else "size unknown"
        lines = (f"{state}, {size}; {each['licence']}", each["url"], each["error"])
        echo(f"{each['name']}: {each['description']}", *(f"  {line}" for line in lines if line))
    echo(f"Weights are kept in {facts['folder']}.")


def _facts(known: pretrained.Published) -> dict[str, Any]:
    path, state, error = pretrained.cache_folder() / known.file, "not fetched", None
    try:
        if path.is_file():
            pretrained.verify(path)
            state = "fetched"
    except (StylekitError, OSError) as unusable:
        state, error = "unusable", explain(unusable)
    return {
        "name": known.name,
        "description": known.what,
        "state": state,
        "error": error,
        "bytes": known.size,
        "licence": known.licence,
        "url": known.url,
        "file": str(path),
    }


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
