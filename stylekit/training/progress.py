"""Shows the progress of a run in the terminal."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from stylekit.errors import printable

PATIENCE = 30.0
"""Minimum number of seconds between two lines if the output is not a terminal."""


class _Rate(ProgressColumn):
    """Steps per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="progress.data.speed")


class _Console(Console):
    """Prints nothing once the terminal is closed, so that a run does not end because of it."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class Display:
    """A progress bar with losses, steps per second and the time left, and lines above it.

    If the output is not a terminal, plain lines replace the bar, every half a minute.

    Args:
        done: number of completed steps
        total: number of steps of the whole run
        batch_size: items per step
        visible: whether to show anything
    """

    def __init__(self, done: int, total: int, batch_size: int, visible: bool) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[losses]}"),
        )
        self.console = _Console(stderr=True, quiet=not visible, highlight=False)
        self._bar = Progress(*columns, console=self.console, disable=not visible or not self.console.is_terminal)
        self._done, self._total, self._batch_size = done, total, batch_size
        self._reported = (done, time.monotonic())
        self._task = self._bar.add_task("training", completed=done, total=total, losses="")

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # the terminal was closed
            self._bar.stop()

    def advance(self) -> None:
        """Counts one more completed step."""
        self._done += 1
        self._bar.update(self._task, advance=1)

    def rewind(self, step: int) -> None:
        """Goes back to a step."""
        self._done, self._reported = step, (step, time.monotonic())
        self._bar.update(self._task, completed=step)

    def show(self, losses: Mapping[str, float]) -> None:
        """Shows the latest loss terms, by ``turn/term``, summed by turn."""
        sums: dict[str, float] = {}
        for key, value in losses.items():
            turn = key.partition("/")[0]
            sums[turn] = sums.get(turn, 0.0) + value
        line = "  ".join(f"{turn} {value:.3f}" for turn, value in sums.items())
        self._bar.update(self._task, losses=line)
        if not self.console.is_terminal:
            self._report(line)

    def _report(self, losses: str) -> None:
        """Prints the progress of the run, unless it was printed recently."""
        (last_step, last_time), now = self._reported, time.monotonic()
        steps, seconds = self._done - last_step, now - last_time
        if seconds >= PATIENCE:
            rate = steps * self._batch_size / seconds
            self.say(f"step {self._done} of {self._total}: {losses}  {rate:.1f} images/s")
            self._reported = (self._done, now)

    def say(self, line: str) -> None:
        """Prints a line above the bar."""
        # Not wrapped, so that a path or a command can be copied.
        with contextlib.suppress(OSError):  # the terminal was closed
            self.console.print(printable(line), markup=False, soft_wrap=True)
