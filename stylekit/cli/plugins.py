"""``stylekit plugins``: what is installed and how it stands, without importing any of it unless that is asked for."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stylekit.errors import StylekitWarning
from stylekit.registry import lookup
from stylekit.registry.entrypoints import allowed_plugins, normalized_name
from stylekit.registry.loading import Plugin
from stylekit.registry.status import plugin_status

COLOURS = {"loads": "green", "broken": "red", "taken": "red", "outdated": "red", "hidden": "dim"}


@dataclass
class Row:
    """A line of the list."""

    plugin: Plugin
    state: str
    reason: str
    seconds: str = ""


def command(
    load: Annotated[bool, typer.Option("--load", help="Import each, and tell what it offers and the seconds.")] = False,
) -> None:
    """List the installed plugins, and how each stands."""
    every = lookup.all_plugins()
    seen = [plugin for plugin, visible in every if visible]
    rows = [Row(plugin, *plugin_status(plugin, visible, seen)) for plugin, visible in every]
    if load:
        _load(rows)
    table = Table("plugin", "package", "version", "state", *(["seconds"] if load else []), box=None, pad_edge=False)
    for row in rows:
        colour = COLOURS.get(row.state, "default")
        stands = f"[{colour}]{row.state}[/{colour}]{': ' if row.reason else ''}{escape(row.reason)}"
        table.add_row(
            *map(escape, (row.plugin.name, row.plugin.package, row.plugin.version)),
            stands,
            *([row.seconds] if load else []),
        )
    console = Console(highlight=False)
    console.print(table)
    names = {normalized_name(name) for plugin, _ in every for name in (plugin.name, plugin.package)}
    for name in sorted((allowed_plugins() or frozenset()) - names):
        console.print(f"STYLEKIT_PLUGINS names {name}, which is not installed.", markup=False)


def _load(rows: list[Row]) -> None:
    """Imports each plugin that can be, and adds to its row what it offers, or why not, and the seconds that took."""
    import stylekit.method  # noqa: F401  with torch, for which no plugin is to be blamed

    tried = [row for row in rows if row.state in ("installed", "taken")]
    offered = []
    for row in tried:
        began = time.perf_counter()
        offered.append(lookup.loaded_state(row.plugin))
        row.seconds = f"{time.perf_counter() - began:.2f}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StylekitWarning)  # the table tells of each
        for row, (word, told) in zip(tried, offered, strict=True):
            row.reason = "; ".join(filter(None, (row.reason, told, *_taken(row.plugin))))
            row.state = row.state if (row.state, word) == ("taken", "loads") else word


def _taken(plugin: Plugin) -> list[str]:
    """Of which parts the plugin is not who is asked, or not alone, in words."""
    found = [(kind, name, lookup.rivals(plugin, kind, name)) for kind, name, _ in lookup.plugin_parts(plugin)]
    return [
        f"the {kind} {name!r} is also that of {' and '.join(other.origin for other in others)}"
        for kind, name, others in found
        if others
    ]
