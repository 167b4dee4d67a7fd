"""``stylekit plugins``: what is installed and how it stands, without importing any of it unless that is asked for."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stylekit import plugins
from stylekit.entrypoints import chosen, same
from stylekit.standing import standing

COLOURS = {"loads": "green", "broken": "red", "taken": "red", "outdated": "red", "hidden": "dim"}


def command(
    load: Annotated[bool, typer.Option("--load", help="Import each, and tell what it offers and the seconds.")] = False,
) -> None:
    """List the installed plugins, and how each stands."""
    if load:
        import stylekit.method  # noqa: F401  with torch, for which no plugin is to be blamed
    every = plugins.everything()
    table = Table("plugin", "package", "version", "state", *(["seconds"] if load else []), box=None, pad_edge=False)
    for plugin, visible in every:
        state, reason = standing(plugin, visible, [other for other, _ in every])
        seconds = []
        if load and state in ("installed", "taken"):
            began = time.perf_counter()
            word, told = plugins.state(plugin)
            state, reason = (word, told) if state == "installed" or word == "broken" else (state, f"{reason}; {told}")
            seconds = [f"{time.perf_counter() - began:.2f}"]
        colour = COLOURS.get(state, "default")
        stands = f"[{colour}]{state}[/{colour}]{': ' if reason else ''}{escape(reason)}"
        table.add_row(plugin.name, plugin.package, plugin.version, stands, *seconds)
    console = Console(highlight=False)
    console.print(table)
    names = {same(name) for plugin, _ in every for name in (plugin.name, plugin.package)}
    for name in sorted((chosen() or frozenset()) - names):
        console.print(f"STYLEKIT_PLUGINS names {name}, which is not installed.")
