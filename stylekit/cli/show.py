"""``stylekit show NAME``: describes a part and its options."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from json import dumps
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from rich.console import Console
from rich.text import Text

from stylekit.cli.output import Json, cell, print_json, print_table
from stylekit.errors import StylekitError, suggest
from stylekit.hookspecs import KINDS
from stylekit.registry import lookup
from stylekit.registry.parts import Part
from stylekit.registry.schema import Argument, arguments, unwrap_partial

CALL_OPTIONS = {"training_options": "option for training (--set)", "image_options": "option per image (--with)"}


def command(
    name: Annotated[str, typer.Argument(help="name of a part, of any kind, or of a plugin, or a .py file with parts")],
    json: Json = False,
) -> None:
    """Show what a method, network, loss or data set does, and its options."""
    facts = {"parts": [_facts(*part) for part in _named(name)]}
    if json:
        print_json(facts)
        return
    for part in facts["parts"]:
        _show(part)


def _facts(kind: str, name: str, factory: Callable[..., Any]) -> dict[str, Any]:
    """What is known about a part. A finished part, such as a trained model, has only options for each use."""
    if KINDS[kind].finished:
        model = factory(device="cpu")
        return {"kind": kind, "name": name, "description": model.summary(), "options": None, "presets": []} | (
            _call_options(type(model.method))
        )
    own = [_preset(preset, None, values) for preset, values in getattr(factory, "presets", {}).items()]
    added = [
        _preset(preset, plugin.origin, values)
        for preset, versions in (lookup.presets(name).items() if KINDS[kind].presets else ())
        for plugin, values in versions
    ]
    return {
        "kind": kind,
        "name": name,
        "description": _about(factory),
        "options": _options(arguments(factory)),
        "presets": own + added,
        **_call_options(unwrap_partial(factory)),
    }


def _call_options(method: Any) -> dict[str, Any]:
    """The options of a method besides its constructor's: those of training, and those of each image."""
    from stylekit.inference.options import sample_options, stylize_options
    from stylekit.method import Method
    from stylekit.training.setup import prepare_arguments

    if not inspect.isclass(method) or not issubclass(method, Method):
        return {"training_options": [], "image_options": []}
    return {
        "training_options": _options(prepare_arguments(method)),
        "image_options": _options({**stylize_options(method), **sample_options(method)}),
    }


def _options(known: Mapping[str, Argument]) -> list[dict[str, Any]]:
    return [
        {
            "name": argument.name,
            "type": _type(argument.type),
            "required": argument.required,
            "default": None if argument.required else _plain(argument.default),
            "description": _plain_text(argument.help),
        }
        for argument in known.values()
    ]


def _preset(name: str, plugin: str | None, values: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "plugin": plugin, "arguments": {key: _plain(value) for key, value in values.items()}}


def _plain(value: Any) -> Any:
    """The value if JSON can hold it, otherwise its text."""
    try:
        dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return str(value)
    return value


def _show(part: dict[str, Any]) -> None:
    """Prints the facts about a part as text."""
    console = Console(highlight=False)
    kind = part["kind"]
    article = "an" if kind[0] in "aeiou" else "a"
    console.print(Text.assemble(cell(part["name"], "bold"), f", {article} {kind}"))
    console.print(cell(part["description"]), end="\n\n")
    if part["options"] is not None:
        _show_options("option", part["options"])
    for key, title in CALL_OPTIONS.items():
        if part[key]:
            _show_options(title, part[key])
    for preset in part["presets"]:
        origin = f" ({preset['plugin']})" if preset["plugin"] else ""
        values = ", ".join(f"{key}={value}" for key, value in preset["arguments"].items())
        console.print(Text.assemble("preset ", cell(preset["name"], "bold"), cell(f"{origin}: {values}")))


def _show_options(title: str, options: list[dict[str, Any]]) -> None:
    rows = [
        [
            option["name"],
            option["type"],
            cell("required", "red") if option["required"] else str(option["default"]),
            option["description"],
        ]
        for option in options
    ]
    print_table([title, "type", "default", "description"], rows)


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
    return _plain_text(re.sub(r"(?<!\n)\n(?=\w)", " ", text))


def _plain_text(text: str) -> str:
    """A docstring's text without the marks of its markup."""
    return re.sub(r"``|:\w+:(?=`)", "", text)


def _type(kind: Any) -> str:
    if kind == Part:
        return "part"
    if kind is Any:
        return ""
    if get_origin(kind) is Annotated:
        return _type(get_args(kind)[0])
    if get_origin(kind) is Literal:
        return ", ".join(map(str, get_args(kind)))
    if get_origin(kind) in (Union, UnionType):
        return " | ".join(_type(each) for each in get_args(kind))
    if kind is NoneType:
        return "None"
    if kind is Ellipsis:
        return "..."
    if any(get_origin(each) is Annotated or each == Part for each in get_args(kind)):
        return f"{get_origin(kind).__name__}[{', '.join(map(_type, get_args(kind)))}]"
    return kind.__name__ if inspect.isclass(kind) else str(kind).replace("typing.", "")
