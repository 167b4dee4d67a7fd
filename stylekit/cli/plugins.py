"""``stylekit plugins``: lists the installed plugins and their status, without importing them unless ``--load`` is given."""

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
    """A row of the table."""

    plugin: Plugin
    state: str
    reason: str
    seconds: str = ""


def command(
    load: Annotated[
        bool, typer.Option("--load", help="Import each plugin, and show what it offers and how long the import takes.")
    ] = False,
) -> None:
    """List the installed plugins and their status."""
    every = lookup.all_plugins()
    visible_plugins = [plugin for plugin, visible in every if visible]
    rows = [Row(plugin, *plugin_status(plugin, visible, visible_plugins)) for plugin, visible in every]
    if load:
        _load(rows)
    table = Table("plugin", "package", "version", "state", *(["seconds"] if load else []), box=None, pad_edge=False)
    for row in rows:
        colour = COLOURS.get(row.state, "default")
        status = f"[{colour}]{row.state}[/{colour}]{': ' if row.reason else ''}{escape(row.reason)}"
        table.add_row(
            *map(escape, (row.plugin.name, row.plugin.package, row.plugin.version)),
            status,
            *([row.seconds] if load else []),
        )
    console = Console(highlight=False)
    console.print(table)
    names = {normalized_name(name) for plugin, _ in every for name in (plugin.name, plugin.package)}
    for name in sorted((allowed_plugins() or frozenset()) - names):
        console.print(f"STYLEKIT_PLUGINS names {name}, which is not installed.", markup=False)


def _load(rows: list[Row]) -> None:
    """Imports each plugin that can be imported, and adds to its row what it offers or why it fails, and the seconds."""
    import stylekit.method  # noqa: F401  imports torch, whose time must not be counted as a plugin's

    tried = [row for row in rows if row.state in ("installed", "taken")]
    results = []
    for row in tried:
        start = time.perf_counter()
        results.append(lookup.loaded_state(row.plugin))
        row.seconds = f"{time.perf_counter() - start:.2f}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StylekitWarning)  # the table shows the same
        for row, (state, details) in zip(tried, results, strict=True):
            row.reason = "; ".join(filter(None, (row.reason, details, *_taken(row.plugin))))
            row.state = row.state if (row.state, state) == ("taken", "loads") else state


def _taken(plugin: Plugin) -> list[str]:
    """A note for each part whose name other plugins use too."""
    parts = [(kind, name, lookup.rivals(plugin, kind, name)) for kind, name, _ in lookup.plugin_parts(plugin)]
    return [
        f"the {kind} {name!r} is also offered by {' and '.join(other.origin for other in others)}"
        for kind, name, others in parts
        if others
    ]
