"""``stylekit weights``: lists pretrained weights, and downloads published ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from stylekit.cli.output import Json, echo, print_json
from stylekit.errors import StylekitError, explain
from stylekit.weights import packaged, pretrained

weights = typer.Typer(help="List and download pretrained weights.", no_args_is_help=True)


@weights.command("list")
def list_(json: Json = False) -> None:
    """List the known pretrained weights: whether they are there (and verified), their size, licence and URL.

    An encoder uses weights that were fetched, or else those of an installed package.
    """
    known = [_published(each) for each in pretrained.PUBLISHED.values()]
    known += [_packaged(each) for each in packaged.PACKAGED.values()]
    if json:
        print_json({"folder": str(pretrained.cache_folder()), "weights": known})
        return
    for each in known:
        missing = each["state"].startswith("not ")
        state = f"{each['state']}: {each['get']}" if missing else each["state"]
        state = "there, but cannot be used" if state == "unusable" else state
        size = f"{each['bytes'] / 1e6:.0f} MB" if each["bytes"] else "size unknown"
        lines = (state, f"{size}; {each['licence']}", each["url"], each["error"])
        echo(f"{each['name']}: {each['description']}", *(f"  {line}" for line in lines if line))
    echo(f"Fetched weights are kept in {pretrained.cache_folder()}.")


def _published(known: pretrained.Published) -> dict[str, Any]:
    path = pretrained.cache_folder() / known.file

    def find() -> Path | None:
        if not path.is_file():
            return None
        pretrained.verify(path)
        return path

    found, command = _found(find, "fetched"), f"stylekit weights fetch {known.name}"
    return {"name": known.name, **found, **_terms(known), "file": str(path), "get": command}


def _packaged(known: packaged.Packaged) -> dict[str, Any]:
    found = _found(partial(packaged.packaged_file, known), "installed")
    return {"name": known.package, **found, **_terms(known), "get": known.install}


def _found(find: Callable[[], Path | None], there: str) -> dict[str, Any]:
    try:
        path = find()
        return {"state": there if path else f"not {there}", "error": None, "file": path and str(path)}
    except (StylekitError, OSError) as unusable:
        return {"state": "unusable", "error": explain(unusable), "file": None}


def _terms(known: pretrained.Published | packaged.Packaged) -> dict[str, Any]:
    return {"description": known.what, "bytes": known.size, "licence": known.licence, "url": known.url}


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
