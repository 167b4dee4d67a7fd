"""``stylekit show NAME``: describes a part and its options."""

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
from stylekit.hookspecs import KINDS
from stylekit.registry import lookup
from stylekit.registry.parts import Part
from stylekit.registry.schema import Argument, arguments, unwrap_partial


def command(
    name: Annotated[str, typer.Argument(help="name of a part, of any kind, or of a plugin, or a .py file with parts")],
) -> None:
    """Show what a method, network, loss or data set does, and its options."""
    console = Console(highlight=False)
    for kind, part, factory in _named(name):
        console.print(f"[bold]{escape(part)}[/bold], {'an' if kind[0] in 'aeiou' else 'a'} {kind}")
        if KINDS[kind].finished:
            _show_finished(console, factory)
            continue
        console.print(f"{_about(factory)}\n", markup=False)
        _show_options(console, "option", arguments(factory))
        _show_call_options(console, unwrap_partial(factory))
        for preset, values in getattr(factory, "presets", {}).items():
            _show_preset(console, preset, "", values)
        for preset, versions in lookup.presets(part).items() if KINDS[kind].presets else ():
            for plugin, values in versions:
                _show_preset(console, preset, f" ({plugin.origin})", values)


def _show_finished(console: Console, load: Callable[..., Any]) -> None:
    """Shows a finished part, such as a trained model: the only options are those of each use."""
    model = load(device="cpu")
    console.print(f"{model.summary()}\n", markup=False)
    _show_call_options(console, type(model.method))


def _show_call_options(console: Console, method: Any) -> None:
    """Shows the options of a method besides its constructor's: those of training, and those of each image."""
    from stylekit.inference.options import sample_options, stylize_options
    from stylekit.method import Method
    from stylekit.training.setup import prepare_arguments

    if inspect.isclass(method) and issubclass(method, Method):
        _show_options(console, "option for training (--set)", prepare_arguments(method))
        _show_options(console, "option per image (--with)", {**stylize_options(method), **sample_options(method)})


def _show_options(console: Console, title: str, known: Mapping[str, Argument]) -> None:
    if not known and title != "option":
        return
    table = Table(title, "type", "default", "description", box=None, pad_edge=False)
    for argument in known.values():
        default = "[red]required[/red]" if argument.required else escape(str(argument.default))
        table.add_row(argument.name, escape(_type(argument.type)), default, escape(argument.help))
    console.print(table)


def _show_preset(console: Console, name: str, origin: str, values: Mapping[str, Any]) -> None:
    console.print(f"preset [bold]{escape(name)}[/bold]{escape(origin)}: ", end="")
    console.print(", ".join(f"{key}={value}" for key, value in values.items()), markup=False)


def _named(name: str) -> list[tuple[str, str, Callable[..., Any]]]:
    """The parts of that name, or all parts of the plugin of that name."""
    if parts := lookup.parts_named(name):
        return parts
    if not name.endswith(".py") and all(plugin.name != name for plugin in lookup.visible_plugins()):
        every = {part for kind in KINDS for part in lookup.part_names(kind)}
        raise StylekitError(f"There is no part or plugin {name!r}. {suggest(name, every)}")
    plugin = lookup.find_plugin(name)
    state, details = lookup.loaded_state(plugin)
    if state == "broken":
        raise StylekitError(f"The {details}")
    if parts := lookup.plugin_parts(plugin):
        return parts
    raise StylekitError(f"The plugin {name!r} offers no parts: {details}.")


def _about(factory: Callable[..., Any]) -> str:
    """The docstring above ``Args:``, with each paragraph as one line for the terminal to wrap."""
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
