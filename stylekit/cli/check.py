"""``stylekit check NAME|FILE``: does it do what the plugin contract says?"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from stylekit import plugins


def command(
    name: Annotated[str, typer.Argument(help="name of a plugin, or a .py file that offers parts")],
) -> None:
    """Try out everything that a plugin offers, on small pictures."""
    from stylekit.testing import check

    console = Console(highlight=False)
    plugin = plugins.find_plugin(name)
    plugins.manager(plugin)  # a broken plugin is an error here, not a warning
    count = 0
    for kind in plugins.KINDS:
        for part, factory in plugins.offers(plugin, kind).items():
            told = check(kind, factory)
            console.print(f"{kind} {part}: good ({told})", markup=False)
            count += 1
    if not count:
        console.print(f"The plugin {plugin.name!r} offers no parts, only hooks that follow a run.")
