"""``stylekit train``: every field of :class:`stylekit.training.settings.Settings` is an option."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from stylekit.cli.output import print_json
from stylekit.errors import StylekitError
from stylekit.training.launchers import external
from stylekit.training.settings import Settings, read_config, read_data, read_metric
from stylekit.training.written import read_assignments

_TYPES: dict[str, Any] = {
    "plugin": list[str],
    "set": list[str],
    "log": list[str],
    "out": Path,
    "compile": bool,
    "checkpoint_activations": bool,
    "resume": bool,
    **dict.fromkeys(("size", "batch_size", "steps", "accumulate", "seed", "devices", "workers"), int),
    **dict.fromkeys(("log_every", "sample_every", "checkpoint_every", "keep", "eval_every", "patience"), int),
}
"""The types of the options that are not plain text; everything else is validated by the settings themselves."""


Quiet = Annotated[bool, typer.Option("--quiet", help="print no progress, only warnings and errors")]
Json = Annotated[bool, typer.Option("--json", help="print the result as one line of JSON on stdout")]


def _train(context: typer.Context, config: Path | None, quiet: bool, json: bool, **options: Any) -> None:
    if context.args:
        raise StylekitError(f"Unexpected argument {context.args[0]!r}. Did you mean --plugin {context.args[0]}?")
    from stylekit.training.engine import train
    from stylekit.training.runs import Run

    settings = read_config(config) if config else {}
    options = {name: value for name, value in options.items() if value not in (None, [])}
    if "set" in options:
        options["set"] = {**settings.get("set", {}), **read_assignments(options["set"])}
    if "data" in options:
        options["data"] = read_data(options["data"])
    if "eval_metric" in options:
        options["eval_metric"] = read_metric(options["eval_metric"], "--eval-metric")
    settings |= options
    run = Run(train(settings.pop("plugin", None), progress=not quiet, **settings))
    launched = external()
    if json and (launched is None or launched.rank == 0):
        print_json(run.result())
    if run.interrupted:
        raise typer.Exit(130)  # the usual exit code after Ctrl-C, so that a script does not continue


def _with_options(function: Callable[..., None]) -> Callable[..., None]:
    """Gives the function one parameter per option in its signature, where typer looks for them."""
    parameters = []
    for name, field in Settings.model_fields.items():
        shown = "" if field.is_required() or not field.default else f" [dim]\\[default: {field.default}][/dim]"
        option = typer.Option(f"--{name.replace('_', '-')}", help=f"{field.description}{shown}", show_default=False)
        kind: Any = Annotated[_TYPES.get(name, str) | None, option]
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind))
    config = typer.Option("--config", help="YAML file with any of these settings; the command line takes precedence")
    others: dict[str, tuple[Any, Any]] = {
        "config": (None, Annotated[Path | None, config]),
        "quiet": (False, Quiet),
        "json": (False, Json),
        "context": (inspect.Parameter.empty, typer.Context),
    }
    for name, (default, kind) in others.items():
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind))
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    function.__annotations__ = {}
    return function


_train.__doc__ = """Train a method on two folders of images, or on the built-in scenes.

For example: [bold]stylekit train --plugin cyclegan --content photos/ --style paintings/[/bold]
"""
command = _with_options(_train)
