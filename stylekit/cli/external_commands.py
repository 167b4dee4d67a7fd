"""Commands that installed packages add by entry points in the group ``stylekit.commands``. Imported only when called."""

from __future__ import annotations

import importlib
import operator
from typing import Any

import typer

from stylekit.errors import StylekitError, one_line_error
from stylekit.registry.entrypoints import Entry, entries

GROUP = "stylekit.commands"
# Everything after the command's name is passed on to the command, including --help.
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def add_commands(app: typer.Typer) -> None:
    """Adds the commands of every visible package; stylekit's own commands take precedence."""
    own = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    by_name: dict[str, list[Entry]] = {}
    for entry in entries(GROUP):
        if entry.visible and entry.name not in own:
            by_name.setdefault(entry.name, []).append(entry)
    for name, candidates in by_name.items():
        origins = " and ".join(f"{entry.package} {entry.version}" for entry in candidates)
        app.command(name, help=f"Added by {origins}.", context_settings=PASSED_ON)(_called(candidates, origins))


def _called(candidates: list[Entry], origins: str) -> Any:
    def call(context: typer.Context) -> None:
        (entry, *others) = candidates
        if others:
            raise StylekitError(
                f"The command {entry.name!r} is added by {origins}. Uninstall one of them, or set STYLEKIT_PLUGINS to the "
                "package whose command to run."
            )
        typer.main.get_command(_load(entry))(context.args, prog_name=context.command_path)

    return call


def _load(entry: Entry) -> typer.Typer:
    try:
        target = operator.attrgetter(entry.attribute)(importlib.import_module(entry.module))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # such as SystemExit
        message = f"The command {entry.name!r} of {entry.package} {entry.version} could not be imported"
        raise StylekitError(f"{message}: {one_line_error(error)}") from error
    if isinstance(target, typer.Typer):
        return target
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(entry.name)(target)
    return app
