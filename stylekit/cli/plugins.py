"""``stylekit plugins``: what is installed, without importing any of it."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from stylekit.plugins import installed


def command() -> None:
    """List the installed plugins."""
    table = Table("plugin", "package", "version", "module", box=None, pad_edge=False)
    for plugin in installed():
        table.add_row(plugin.name, plugin.package, plugin.version, f"[dim]{plugin.module}[/dim]")
    Console(highlight=False).print(table)
