"""What a run shows while it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


class _Rate(ProgressColumn):
    """Steps a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="progress.data.speed")


class Display:
    """A progress bar with losses, steps a second and the time left, and lines above it.

    Args:
        done: steps made already
        total: steps of the whole run
        visible: show anything at all
    """

    def __init__(self, done: int, total: int, visible: bool) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[losses]}"),
        )
        self.console = Console(stderr=True, quiet=not visible, highlight=False)
        self._bar = Progress(*columns, console=self.console, disable=not visible or not self.console.is_terminal)
        self._task = self._bar.add_task("training", completed=done, total=total, losses="")

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, losses: Mapping[str, float]) -> None:
        """One more step was made, with these loss terms by ``turn/term``."""
        sums: dict[str, float] = {}
        for key, value in losses.items():
            turn = key.partition("/")[0]
            sums[turn] = sums.get(turn, 0.0) + value
        self._bar.update(self._task, advance=1, losses="  ".join(f"{turn} {value:.3f}" for turn, value in sums.items()))

    def say(self, line: str) -> None:
        """Prints a line above the bar."""
        self.console.print(line, markup=False, soft_wrap=True)  # so that a path or a command can be copied whole
