"""``stylekit data``: inspects a data set before training, and writes the images of a data set into a folder."""

from __future__ import annotations

import os
import signal
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from stylekit._files import explain_os_errors
from stylekit.cli.output import echo
from stylekit.datasets import survey
from stylekit.errors import StylekitError, suggest
from stylekit.training.settings import read_assignments

if TYPE_CHECKING:
    from stylekit.training.loader import SeededItems

LISTED = 10
"""Maximum number of files or groups to list; the rest are only counted."""

data = typer.Typer(help="Inspect training images.", no_args_is_help=True)


@data.command()
def check(path: Annotated[Path, typer.Argument(help="folder of a data set, or of images")]) -> None:
    """Read every image of a data set, and report its contents, any problems, and the command to run next."""
    console = Console()
    with console.status("reading images"):
        report = survey.survey(path)
    echo(f"{report.path}: {report.layout or 'a folder of images'}")
    console.print(_table(report))
    for side in report.sides:
        _list(f"Unreadable in {side.folder}", list(side.unreadable.values()))
        _list(f"Smaller than {survey.SMALL} in {side.folder}", [str(file) for file in side.small])
    _list("The same file more than once", [" = ".join(map(str, same)) for same in report.duplicates])
    for note in report.notes:
        echo(note)
    for problem in report.problems:
        echo(f"Problem: {problem}")
    echo(f"{'Then' if report.problems else 'Next'}: {report.advice}")
    raise typer.Exit(1 if report.problems else 0)


@data.command()
def draw(
    dataset: Annotated[str, typer.Argument(help="a data set, such as scenes or textures")],
    folder: Annotated[Path, typer.Argument(help="a new or empty folder for the images")],
    count: Annotated[int, typer.Option(min=1, help="number of images")],
    size: Annotated[int, typer.Option(min=1, help="side of the images in pixels")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="random seed")] = 0,
    split: Annotated[str, typer.Option(help="train or test")] = "train",
    key: Annotated[
        str | None, typer.Option(help="which image of an item, such as style; the first key by default")
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="an option of the data set")
    ] = None,
) -> None:
    """Write the images of a data set into a folder, as 00000.png and so on.

    These are the images that a training run with that seed uses, in the order of the data set. After the last item, it
    starts again with the first.
    """
    from stylekit.registry.parts import make
    from stylekit.training.loader import SeededItems

    spec = {"name": dataset, **read_assignments(assignments or [])}
    items = make("dataset", spec, size=size, seed=seed, split=split)
    key = key or items.item_keys[0]
    if key not in items.item_keys:
        raise StylekitError(
            f"The items of the data set {dataset!r} have no key {key!r}. {suggest(key, items.item_keys)}"
        )
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise StylekitError(f"The folder {folder} is not empty. Give a new or an empty folder.")
    write = partial(_write, SeededItems(items, seed), key, folder)
    console = Console(stderr=True)
    try:
        for _ in track(_drawn(write, count), "drawing", count, console=console, disable=not console.is_terminal):
            pass
    except BrokenProcessPool:
        raise StylekitError(
            "A worker process was killed while drawing, possibly because the machine ran out of memory. Try a smaller --size."
        ) from None
    except KeyboardInterrupt:
        written = sum(1 for _ in folder.glob("*.png"))
        message = f"wrote {written} of {count} images to {folder}. Empty it before you draw into it again."
        echo(f"Interrupted: {message}", stderr=True)
        raise
    echo(f"Wrote {count} images to {folder}")


def _drawn(write: Callable[[int], None], count: int) -> Iterator[None]:
    """Writes the images in worker processes. Only a few are submitted ahead, so that Ctrl-C waits for only a few."""
    processes = min(count, os.cpu_count() or 1, 8)
    with ProcessPoolExecutor(processes, initializer=_alone) as pool:
        ahead: deque[Future[None]] = deque()
        for number in range(count):
            ahead.append(pool.submit(write, number))
            if len(ahead) > 2 * processes:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _alone() -> None:
    """Prepares a worker process: one thread, and Ctrl-C is left to the parent process."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def _write(items: SeededItems, key: str, folder: Path, number: int) -> None:
    from stylekit import images

    images.write(folder / f"{number:05}.png", items[number][key])


def _table(report: survey.Report) -> Table:
    table = Table("", *(side.name for side in report.sides))
    columns = [_facts(side) for side in report.sides]
    for label in columns[0]:
        table.add_row(label, *(column[label] for column in columns))
    return table


def _facts(side: survey.Side) -> dict[str, str]:
    readable = bool(side.sizes)
    return {
        "images": str(len(side.files)),
        "formats": _counts(side.formats),
        "pixels": _counts(side.kinds),
        "sides: min, median, max": "{}, {:g}, {}".format(*side.lengths) if readable else "",
        "width / height": "{:.2f} to {:.2f}".format(*side.aspects) if readable else "",
        "rotated by EXIF": str(side.turned),
        f"smaller than {survey.SMALL}": str(len(side.small)),
        "unreadable": str(len(side.unreadable)),
    }


def _counts(counts: Counter[str]) -> str:
    return "\n".join(f"{name} {count}" for name, count in counts.most_common())


def _list(title: str, lines: list[str]) -> None:
    if not lines:
        return
    echo(f"{title}:")
    for line in lines[:LISTED]:
        echo(f"  {line}")
    if len(lines) > LISTED:
        echo(f"  and {len(lines) - LISTED} more")
