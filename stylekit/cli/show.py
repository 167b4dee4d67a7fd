"""``stylekit show NAME``: what a part is and what can be set."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stylekit.errors import StylekitError, suggest
from stylekit.registry import lookup
from stylekit.registry.parts import Part, arguments


def command(
    name: Annotated[str, typer.Argument(help="name of a part, of any kind, or of a plugin, or a .py file with parts")],
) -> None:
    """Show what a method, network, loss or data set is, and its options."""
    console = Console(highlight=False)
    for kind, part, factory in _named(name):
        console.print(f"[bold]{escape(part)}[/bold], {'an' if kind[0] in 'aeiou' else 'a'} {kind}")
        if kind == "model":
            console.print(f"{_model(factory)}\n", markup=False)
            continue
        console.print(f"{_about(factory)}\n", markup=False)
        table = Table("option", "type", "default", "meaning", box=None, pad_edge=False)
        for argument in arguments(factory).values():
            default = "[red]needed[/red]" if argument.required else escape(str(argument.default))
            table.add_row(argument.name, escape(_type(argument.type)), default, escape(argument.help))
        console.print(table)
        for preset, values in getattr(factory, "presets", {}).items():
            _show_preset(console, preset, "", values)
        for preset, offered in lookup.presets(part).items() if kind == "method" else ():
            for plugin, values in offered:
                _show_preset(console, preset, f" ({plugin.origin})", values)


def _show_preset(console: Console, name: str, origin: str, values: Mapping[str, Any]) -> None:
    console.print(f"preset [bold]{escape(name)}[/bold]{escape(origin)}: ", end="")
    console.print(", ".join(f"{key}={value}" for key, value in values.items()), markup=False)


def _named(name: str) -> list[tuple[str, str, Callable[..., Any]]]:
    """The parts of that name, or all parts of the plugin of that name."""
    if found := lookup.parts_named(name):
        return found
    if not name.endswith(".py") and all(plugin.name != name for plugin in lookup.visible_plugins()):
        every = {part for kind in lookup.KINDS for part in lookup.part_names(kind)}
        raise StylekitError(f"There is no part {name!r} of any kind. {suggest(name, every)}")
    plugin = lookup.find_plugin(name)
    word, told = lookup.loaded_state(plugin)
    if word == "broken":
        raise StylekitError(f"The {told}")
    if found := lookup.plugin_parts(plugin):
        return found
    raise StylekitError(f"The plugin {name!r} offers no parts: {told}.")


def _about(factory: Callable[..., Any]) -> str:
    """The docstring above ``Args:``, its paragraphs as one line each, for the terminal to break."""
    text = (inspect.getdoc(factory) or "").split("\nArgs:")[0].strip()
    return re.sub(r"(?<!\n)\n(?=\w)", " ", text)


def _model(load: Callable[..., Any]) -> str:
    """What a shipped model is: it was trained, so there is nothing to set."""
    model = load(device="cpu")
    count = sum(parameter.numel() for parameter in model.method.parameters())
    known = ", ".join(model.method.styles())
    takes = (
        "It takes any style picture."
        if model.method.takes_styles()
        else f"It knows the styles {known}."
        if known
        else ""
    )
    return f"A finished model of the method {model.name}, with {count:,} parameters. {takes}".strip()


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
