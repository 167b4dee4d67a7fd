"""Prints lines for the user, and knows whether tracebacks are printed too."""

from __future__ import annotations

from contextvars import ContextVar

from rich.console import Console

_debug: ContextVar[bool] = ContextVar("debug", default=False)


def echo(text: str, stderr: bool = False) -> None:
    """Prints text as it is: file names are not parsed as markup, and commands are not wrapped, so they can be copied."""
    Console(stderr=stderr).print(text, markup=False, highlight=False, soft_wrap=True)


def set_debugging(wanted: bool) -> None:
    """Sets whether tracebacks are printed: ``--debug`` is in the command line."""
    _debug.set(wanted)


def debugging() -> bool:
    """Whether tracebacks are printed."""
    return _debug.get()
