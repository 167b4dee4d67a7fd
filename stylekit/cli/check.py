"""``stylekit check NAME|FILE``: does it do what the plugin contract says?"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from stylekit import plugins
from stylekit.errors import StylekitError, StylekitWarning, suggest


def command(
    name: Annotated[str, typer.Argument(help="name of a plugin or of a part, or a .py file that offers parts")],
) -> None:
    """Try out everything that a plugin offers, or one part, on small pictures."""
    from stylekit.testing import check

    console = Console(highlight=False)
    parts = _named(name)
    for kind, part, factory in parts:
        try:
            told = check(kind, factory)
        except StylekitError as error:
            raise StylekitError(f"The {kind} {part!r}: {error}") from error
        console.print(f"{kind} {part}: good ({told})", markup=False, soft_wrap=True)
    if not parts:
        console.print(f"The plugin {Path(name).stem!r} offers no parts, only hooks that follow a run.")


def _named(name: str) -> list[tuple[str, str, Callable[..., Any]]]:
    """All parts of the plugin of that name, or the parts of that name."""
    known = [plugin.name for plugin in plugins.installed()]
    if name.endswith(".py") or name in known:
        return _offers(plugins.find_plugin(name))
    if found := plugins.parts_named(name):
        return found
    every = {part for kind in plugins.KINDS for part in plugins.names(kind)}
    raise StylekitError(f"There is no plugin and no part {name!r}. {suggest(name, every.union(known))}")


def _offers(plugin: plugins.Plugin) -> list[tuple[str, str, Callable[..., Any]]]:
    """What the plugin offers; that it is broken is an error here, not a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", StylekitWarning)
        try:
            return plugins.parts(plugin)
        except StylekitWarning as warning:
            raise StylekitError(f"The {warning}") from None
