"""Printing a line for the user."""

from __future__ import annotations

from rich.console import Console


def echo(text: str, stderr: bool = False) -> None:
    """Prints text as it is: names of files are no markup, and a command is not broken into lines, so it can be copied."""
    Console(stderr=stderr).print(text, markup=False, highlight=False, soft_wrap=True)
