"""Printing lines for the user, and whether tracebacks are printed too."""

from __future__ import annotations

from contextvars import ContextVar

from rich.console import Console

_debug: ContextVar[bool] = ContextVar("debug", default=False)


def echo(text: str, stderr: bool = False) -> None:
    """Prints text as it is: names of files are not markup, and a command is not broken into lines, so it can be copied."""
    Console(stderr=stderr).print(text, markup=False, highlight=False, soft_wrap=True)


def set_debugging(wanted: bool) -> None:
    """Says whether ``--debug`` stands in the command line."""
    _debug.set(wanted)


def debugging() -> bool:
    """Whether tracebacks are wanted."""
    return _debug.get()
