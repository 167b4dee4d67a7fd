"""``stylekit show NAME``: what a part is and what can be set."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stylekit import plugins
from stylekit.errors import StylekitError, suggest
from stylekit.parts import Part, arguments


def command(name: Annotated[str, typer.Argument(help="name of a part, of any kind")]) -> None:
    """Show what a method, network, loss or data set is, and its options."""
    known = {kind: plugins.names(kind) for kind in plugins.KINDS}
    found = [kind for kind, names in known.items() if name in names]
    if not found:
        every = {part for names in known.values() for part in names}
        raise StylekitError(f"There is no part {name!r} of any kind. {suggest(name, every)}")
    console = Console(highlight=False)
    for kind in found:
        factory = plugins.find(kind, name)
        console.print(f"[bold]{name}[/bold], a {kind}")
        console.print(f"{_about(factory)}\n", markup=False)
        table = Table("option", "type", "default", "meaning", box=None, pad_edge=False)
        for argument in arguments(factory).values():
            default = "[red]needed[/red]" if argument.required else escape(str(argument.default))
            table.add_row(argument.name, escape(_type(argument.type)), default, escape(argument.help))
        console.print(table)
        for preset, values in getattr(factory, "presets", {}).items():
            console.print(f"preset [bold]{preset}[/bold]: ", end="")
            console.print(", ".join(f"{key}={value}" for key, value in values.items()), markup=False)


def _about(factory: Callable[..., Any]) -> str:
    """The docstring above ``Args:``, its paragraphs as one line each, for the terminal to break."""
    text = (inspect.getdoc(factory) or "").split("\nArgs:")[0].strip()
    return re.sub(r"(?<!\n)\n(?=\w)", " ", text)


def _type(kind: Any) -> str:
    if kind == Part:
        return "part"
    if kind is Any:
        return ""
    if get_origin(kind) is Literal:
        return ", ".join(map(str, get_args(kind)))
    if get_origin(kind) in (Union, UnionType):
        return " | ".join(_type(each) for each in get_args(kind))
    if kind is NoneType:
        return "None"
    return kind.__name__ if inspect.isclass(kind) else str(kind).replace("typing.", "")
