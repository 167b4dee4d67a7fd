"""Prints lines, tables and JSON. Control characters are escaped, so that no text can control the terminal."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from stylekit.errors import printable

Json = Annotated[bool, typer.Option("--json", help="Print the facts as one line of JSON (docs/json.md).")]
"""The option of every command that reports."""

_debug: ContextVar[bool] = ContextVar("debug", default=False)


def echo(*lines: str, stderr: bool = False) -> None:
    """Prints each argument as one line: not wrapped, so that commands can be copied, and with control characters escaped,
    line breaks too, because file names may contain any of them."""
    # One write, so that the lines of several threads do not mix.
    (sys.stderr if stderr else sys.stdout).write("".join(f"{printable(line)}\n" for line in lines))


def echo_traceback(error: BaseException) -> None:
    """Prints a traceback on stderr like :func:`echo`."""
    echo(*"".join(traceback.format_exception(error)).splitlines(), stderr=True)


def cell(text: str, style: str = "") -> Text:
    """Text for rich: not parsed as markup, and with control characters escaped.

    Args:
        text: the text; each of its lines is a line of the cell
        style: rich's name of a colour or style
    """
    return Text("\n".join(map(printable, text.split("\n"))), style)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str | Text]], **options: Any) -> None:
    """Prints a table on stdout.

    Args:
        header: the titles of the columns; empty: no header
        rows: text, or results of :func:`cell`
        options: those of ``rich.table.Table``
    """
    table = Table(
        *map(Column, map(cell, header)), **{"box": None, "pad_edge": False, "show_header": bool(header), **options}
    )
    for row in rows:
        table.add_row(*(cell(each) if isinstance(each, str) else each for each in row))
    Console(highlight=False).print(table)


def print_json(value: Any) -> None:
    """Prints a value as one line of JSON on stdout: in ASCII, keys in their order, anything unknown (a path) as its text.

    Raises:
        ValueError: a number is not finite, which JSON does not allow.
    """
    print(json.dumps(value, default=str, allow_nan=False))


def set_debugging(wanted: bool) -> None:
    """Sets whether tracebacks are printed: ``--debug`` is in the command line."""
    _debug.set(wanted)


def debugging() -> bool:
    """Whether tracebacks are printed."""
    return _debug.get()
