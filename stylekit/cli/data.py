"""``stylekit data``: looking at a data set before training on it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from stylekit import layouts

LISTED = 10
"""Files or groups listed before the rest is counted."""

data = typer.Typer(help="Look at the pictures to train on.", no_args_is_help=True)


@data.command()
def check(path: Annotated[Path, typer.Argument(help="folder of a data set, or of pictures")]) -> None:
    """Read every picture of a data set, and say what is there, what is wrong and what to type next."""
    console = Console()
    with console.status("reading the pictures"):
        report = layouts.check(path)
    _say(console, f"{report.path}: {report.layout or 'a folder of pictures'}")
    console.print(_table(report))
    for side in report.sides:
        _list(console, f"Unreadable in {side.folder}", list(side.unreadable.values()))
        _list(console, f"Smaller than {layouts.SMALL} in {side.folder}", [str(file) for file in side.small])
    _list(console, "The same file more than once", [" = ".join(map(str, same)) for same in report.duplicates])
    for problem in report.problems:
        _say(console, f"Problem: {problem}")
    _say(console, f"{'After that' if report.problems else 'Next'}: {report.advice}")
    raise typer.Exit(1 if report.problems else 0)


def _table(report: layouts.Report) -> Table:
    table = Table("", *(side.name for side in report.sides))
    columns = [_facts(side) for side in report.sides]
    for label in columns[0]:
        table.add_row(label, *(column[label] for column in columns))
    return table


def _facts(side: layouts.Side) -> dict[str, str]:
    readable = bool(side.sizes)
    return {
        "pictures": str(len(side.files)),
        "formats": _counts(side.formats),
        "pixels": _counts(side.kinds),
        "sides: least, median, most": "{}, {:g}, {}".format(*side.lengths) if readable else "",
        "width / height": "{:.2f} to {:.2f}".format(*side.aspects) if readable else "",
        "turned by EXIF": str(side.turned),
        f"smaller than {layouts.SMALL}": str(len(side.small)),
        "unreadable": str(len(side.unreadable)),
    }


def _counts(counts: Counter[str]) -> str:
    return "\n".join(f"{name} {count}" for name, count in counts.most_common())


def _list(console: Console, title: str, lines: list[str]) -> None:
    if not lines:
        return
    _say(console, f"{title}:")
    for line in lines[:LISTED]:
        _say(console, f"  {line}")
    if len(lines) > LISTED:
        _say(console, f"  and {len(lines) - LISTED} more")


def _say(console: Console, text: str) -> None:
    # Names of files are no markup, and a command must not be broken into lines, so that it can be copied.
    console.print(text, markup=False, highlight=False, soft_wrap=True)
