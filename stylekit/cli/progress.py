"""Shows the progress of a command on stderr: a bar in a terminal, and otherwise a line from time to time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import rich.progress
from rich.console import Console

from stylekit.cli.output import echo

Item = TypeVar("Item")
FIRST_LINE, NEXT_LINE = 2.0, 10.0
"""Seconds until the first line, so that a short run prints none, and from one line to the next."""


class Progress:
    """The progress of one or several counts, such as images and steps.

    Args:
        quiet: show nothing
    """

    def __init__(self, quiet: bool = False) -> None:
        console = Console(stderr=True)
        self._bar = rich.progress.Progress(console=console, disable=quiet or not console.is_terminal)
        self._tasks: dict[str, rich.progress.TaskID] = {}
        self._lines = not quiet and not console.is_terminal
        self._due = time.monotonic() + FIRST_LINE
        self._began: dict[str, tuple[int, float]] = {}

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def update(self, what: str, done: int, total: int) -> None:
        """Shows that ``done`` of ``total`` are finished; ``what`` is a plural, such as images."""
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, total=total)
            self._began[what] = done, time.monotonic()
        self._bar.update(self._tasks[what], completed=done, total=total)
        if self._lines and done < total and time.monotonic() >= self._due:
            echo(f"{done} of {total} {what}{self._left(what, done, total)}", stderr=True)
            self._due = time.monotonic() + NEXT_LINE

    def _left(self, what: str, done: int, total: int) -> str:
        """The time that the rest takes at the same rate; empty until that is known."""
        first, began = self._began[what]
        if done <= first:
            return ""
        return f", {duration((total - done) * (time.monotonic() - began) / (done - first))} left"


def duration(seconds: float) -> str:
    """A time in the largest unit that suits it, such as ``40 s``, ``12 min`` or ``2 h 5 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def track(items: Iterable[Item], what: str, total: int, quiet: bool = False) -> Iterator[Item]:
    """Yields the items, and shows the progress."""
    with Progress(quiet) as progress:
        for done, item in enumerate(items):
            progress.update(what, done, total)
            yield item
        progress.update(what, total, total)
