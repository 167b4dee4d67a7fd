"""``stylekit check NAME|FILE``: does it do what the plugin contract says?"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console

from stylekit import plugins
from stylekit.errors import StylekitError, StylekitWarning


def command(
    name: Annotated[str, typer.Argument(help="name of a plugin, or a .py file that offers parts")],
) -> None:
    """Try out everything that a plugin offers, on small pictures."""
    from stylekit.testing import check

    console = Console(highlight=False)
    plugin = plugins.find_plugin(name)
    parts = [(kind, part, factory) for kind in plugins.KINDS for part, factory in _offers(plugin, kind).items()]
    for kind, part, factory in parts:
        try:
            told = check(kind, factory)
        except StylekitError as error:
            raise StylekitError(f"The {kind} {part!r}: {error}") from error
        console.print(f"{kind} {part}: good ({told})", markup=False, soft_wrap=True)
    if not parts:
        console.print(f"The plugin {plugin.name!r} offers no parts, only hooks that follow a run.")


def _offers(plugin: plugins.Plugin, kind: str) -> dict[str, Callable[..., Any]]:
    """What the plugin offers; that it is broken is an error here, not a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", StylekitWarning)
        try:
            return plugins.offers(plugin, kind)
        except StylekitWarning as warning:
            raise StylekitError(f"The {warning}") from None
