"""``stylekit plugins``: lists the installed plugins and their status, without importing them unless ``--load`` is given."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.text import Text

from stylekit.cli.output import Json, cell, echo, print_json, print_table
from stylekit.errors import StylekitWarning
from stylekit.registry import lookup
from stylekit.registry.entrypoints import allowed_plugins, normalized_name
from stylekit.registry.loading import Plugin
from stylekit.registry.status import plugin_status

COLOURS = {"loads": "green", "broken": "red", "taken": "red", "outdated": "red", "hidden": "dim"}


@dataclass
class Row:
    """A plugin and its state."""

    plugin: Plugin
    state: str
    reason: str
    seconds: float | None = None


def command(
    load: Annotated[
        bool, typer.Option("--load", help="Import each plugin, and show what it offers and how long the import takes.")
    ] = False,
    json: Json = False,
) -> None:
    """List the installed plugins and their status."""
    facts = _facts(load)
    if json:
        print_json(facts)
        return
    header = ["plugin", "package", "version", "state", *(["seconds"] if load else [])]
    print_table(header, [_row(each, load) for each in facts["plugins"]])
    echo(*(f"STYLEKIT_PLUGINS names {name}, which is not installed." for name in facts["not_installed"]))


def _facts(load: bool) -> dict[str, Any]:
    every = lookup.all_plugins()
    visible_plugins = [plugin for plugin, visible in every if visible]
    rows = [Row(plugin, *plugin_status(plugin, visible, visible_plugins)) for plugin, visible in every]
    if load:
        _load(rows)
    names = {normalized_name(name) for plugin, _ in every for name in (plugin.name, plugin.package)}
    return {
        "plugins": [
            {
                "name": row.plugin.name,
                "package": row.plugin.package,
                "version": row.plugin.version,
                "state": row.state,
                "details": row.reason,
                "seconds": row.seconds,
            }
            for row in rows
        ],
        "not_installed": sorted((allowed_plugins() or frozenset()) - names),
    }


def _row(facts: dict[str, Any], load: bool) -> list[str | Text]:
    state = cell(facts["state"], COLOURS.get(facts["state"], ""))
    if facts["details"]:
        state = Text.assemble(state, ": ", cell(facts["details"]))
    seconds = "" if facts["seconds"] is None else f"{facts['seconds']:.2f}"
    return [facts["name"], facts["package"], facts["version"], state, *([seconds] if load else [])]


def _load(rows: list[Row]) -> None:
    """Imports each plugin that can be imported, and adds to its row what it offers or why it fails, and the seconds."""
    import stylekit.method  # noqa: F401  imports torch, whose time must not be counted as a plugin's

    tried = [row for row in rows if row.state in ("installed", "taken")]
    results = []
    for row in tried:
        start = time.perf_counter()
        results.append(lookup.loaded_state(row.plugin))
        row.seconds = time.perf_counter() - start
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
