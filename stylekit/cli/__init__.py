"""The command line, one file per command. None of the imports here loads torch, which is slow to import."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from typing import Annotated, Any

# Otherwise pydantic and torch read the metadata of every installed package, and fail if any of it is damaged.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")

import typer

import stylekit
from stylekit import errors
from stylekit.cli.external_commands import add_commands
from stylekit.cli.output import debugging, echo, echo_traceback, set_debugging
from stylekit.cli.process import prepare
from stylekit.errors import (
    PlainWarnings,
    ProcessError,
    StylekitError,
    StylekitWarning,
    environment_fault,
)
from stylekit.native.kernels import requested_kernels
from stylekit.training.launchers import external

COMMANDS = {
    "train": "train.command",
    "runs": "runs.command",
    "stylize": "stylize.command",
    "video": "video.command",
    "sheet": "sheet.command",
    "cube": "cube.command",
    "sample": "sample.command",
    "evaluate": "evaluate.command",
    "compare": "evaluate.command",
    "explain": "explain.command",
    "export": "export.export",
    "verify": "export.verify",
    "serve": "serve.command",
    "prune": "prune.command",
    "publish": "publish.command",
    "import": "import_.command",
    "plugins": "plugins.command",
    "show": "show.command",
    "new": "new.command",
    "check": "check.command",
    "doctor": "doctor.command",
    "style": "style.style",
    "data": "data.data",
    "kernels": "kernels.kernels",
    "weights": "weights.weights",
}
"""The modules of the commands and of groups of them, and their names there."""
DETAILS: dict[str, dict[str, Any]] = {
    "train": {"context_settings": {"allow_extra_args": True}},
    "compare": {"help": "Compare models and programs on the same inputs: `stylekit evaluate` with several."},
}
"""Further arguments of typer."""


def program(name: str | None = None) -> typer.Typer:
    """The program with all its commands, including those that installed packages add.

    Args:
        name: if it is the name of one of stylekit's own commands, only that one is imported, which is quicker
    """
    app = typer.Typer(
        help="Image style transfer that keeps the content.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        callback=_options,
    )
    for each in [name] if name in COMMANDS else COMMANDS:
        module, attribute = COMMANDS[each].split(".")
        target = getattr(importlib.import_module(f"stylekit.cli.{module}"), attribute)
        if isinstance(target, typer.Typer):
            app.add_typer(target, name=each)
        else:
            app.command(each, **DETAILS.get(each, {}))(target)
    if name not in COMMANDS:
        add_commands(app)
    return app


def _version(value: bool) -> None:
    if value:
        print(f"stylekit {stylekit.__version__}")
        raise typer.Exit


def _options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the full traceback of an error. Works anywhere in the command line.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> None:
    """Runs the program ``stylekit``. Errors that the user can fix are printed as one paragraph, with exit code 2; others are
    too, with exit code 1 and the line that they came from."""
    prepare()
    warnings.showwarning = PlainWarnings()
    warnings.simplefilter("default", StylekitWarning)  # overrides PYTHONWARNINGS
    arguments = sys.argv[1:]
    set_debugging("--debug" in arguments)
    try:
        requested_kernels()  # first, so that no plugin is blamed for an invalid STYLEKIT_KERNELS
        given = [argument for argument in arguments if argument != "--debug"]
        program(given[0] if given else None)(given, prog_name="stylekit")
    except Exception as error:
        if isinstance(error, StylekitError) or environment_fault(error):
            _report(error, errors.explain(error), everywhere=isinstance(error, ProcessError))
            sys.exit(2)
        _report(error, f"{errors.explain(error)}. Run it again with --debug for the full traceback.")
        sys.exit(1)
    except KeyboardInterrupt:
        if debugging():
            raise
        sys.exit(130)


def _report(error: Exception, message: str, everywhere: bool = False) -> None:
    """Prints an error; of several processes that a launcher started, only the main one does, or ``everywhere`` each."""
    if debugging():
        echo_traceback(error)
    elif everywhere or not _is_helper():
        echo(f"Error: {message}", stderr=True)


def _is_helper() -> bool:
    """Whether a launcher started several processes of this run, and this one is not the main process."""
    launched = external() if "train" in sys.argv else None
    return launched is not None and launched.rank > 0
