"""``stylekit data``: inspects a data set before training, writes its images into a folder, or a folder into shards."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import HEAVY_HEAD
from rich.console import Console
from rich.progress import track

from stylekit._files import explain_os_errors
from stylekit.cli.options import Overwrite
from stylekit.cli.output import Json, echo, print_json, print_table
from stylekit.cli.targets import check_overwrite
from stylekit.datasets import packing, survey
from stylekit.errors import StylekitError, suggest
from stylekit.training.written import read_assignments, written

if TYPE_CHECKING:
    from stylekit.training.loader import SeededItems

FEW = 32
"""Images that are drawn in the time that a process takes to start."""
LISTED = 10
"""Maximum number of files or groups to list; the rest are only counted."""

data = typer.Typer(help="Inspect training images.", no_args_is_help=True)


@data.command()
def check(
    path: Annotated[
        str, typer.Argument(help="folder of a data set, or of images, or shards, as 'shards/{000..099}.tar'")
    ],
    json: Json = False,
) -> None:
    """Read every image of a data set, and report its contents, any problems, and the command to run next."""
    with Console(stderr=True).status("reading images"):
        report = survey.survey(path)
    facts = _facts(report)
    if json:
        print_json(facts)
    else:
        _show(facts)
    raise typer.Exit(1 if report.problems else 0)


def _facts(report: survey.Report) -> dict[str, Any]:
    """The report as JSON has it."""
    return {
        "path": str(report.path),
        "layout": report.layout,
        "sides": [_side(side) for side in report.sides],
        "duplicates": [[str(file) for file in same] for same in report.duplicates],
        "notes": report.notes,
        "problems": report.problems,
        "next": report.advice,
    }


def _side(side: survey.Side) -> dict[str, Any]:
    readable = bool(side.sizes)
    return {
        "name": side.name,
        "folder": str(side.folder),
        "images": len(side.files),
        "formats": dict(side.formats.most_common()),
        "pixels": dict(side.kinds.most_common()),
        "lengths": list(side.lengths) if readable else None,
        "aspects": list(side.aspects) if readable else None,
        "rotated": side.turned,
        "small": [str(file) for file in side.small],
        "unreadable": [{"file": str(file), "error": error} for file, error in side.unreadable.items()],
    }


def _show(facts: dict[str, Any]) -> None:
    """Prints the facts as text."""
    echo(f"{facts['path']}: {facts['layout'] or 'a folder of images'}")
    sides = facts["sides"]
    columns = [_column(side) for side in sides]
    rows = [[label, *(column[label] for column in columns)] for label in columns[0]]
    print_table(["", *(side["name"] for side in sides)], rows, box=HEAVY_HEAD, pad_edge=True)
    for side in sides:
        _list(f"Unreadable in {side['folder']}", [each["error"] for each in side["unreadable"]])
        _list(f"Smaller than {survey.SMALL} in {side['folder']}", side["small"])
    _list("The same file more than once", [" = ".join(same) for same in facts["duplicates"]])
    echo(*facts["notes"], *(f"Problem: {problem}" for problem in facts["problems"]))
    echo(f"{'Then' if facts['problems'] else 'Next'}: {facts['next']}")


def _column(side: dict[str, Any]) -> dict[str, str]:
    """One side's column of the table, by the labels of the rows."""
    return {
        "images": str(side["images"]),
        "formats": _counts(side["formats"]),
        "pixels": _counts(side["pixels"]),
        "sides: min, median, max": "{}, {:g}, {}".format(*side["lengths"]) if side["lengths"] else "",
        "width / height": "{:.2f} to {:.2f}".format(*side["aspects"]) if side["aspects"] else "",
        "rotated by EXIF": str(side["rotated"]),
        f"smaller than {survey.SMALL}": str(len(side["small"])),
        "unreadable": str(len(side["unreadable"])),
    }


def _counts(counts: dict[str, int]) -> str:
    return "\n".join(f"{name} {count}" for name, count in counts.items())


def _list(title: str, lines: list[str]) -> None:
    if not lines:
        return
    more = [f"  and {len(lines) - LISTED} more"] if len(lines) > LISTED else []
    echo(f"{title}:", *(f"  {line}" for line in lines[:LISTED]), *more)


@data.command()
def preview(
    folder: Annotated[Path, typer.Argument(help="folder of clean pictures")],
    degrade: Annotated[
        list[str],
        typer.Option(
            metavar="PART",
            help="a degradation, such as jpeg, '{name: jpeg, quality: 10}' or '[blur, jpeg]', each in a column of its own",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="image to write")] = Path("preview.png"),
    count: Annotated[int, typer.Option(min=1, help="number of pictures")] = 4,
    size: Annotated[int, typer.Option(min=1, help="side of the patches in pixels")] = 192,
    seed: Annotated[int, typer.Option(min=0, help="random seed")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Write a sheet of patches of a folder's pictures beside what degradations make of them.

    Those are the pairs of the data set ``degraded``, with the same random numbers as in a training run with that seed.
    """
    from stylekit import images
    from stylekit.registry.parts import make
    from stylekit.training.loader import SeededItems
    from stylekit.training.sample_grid import grid

    check_overwrite(out, overwrite)
    specs = [written(text).as_yaml for text in degrade]
    options: dict[str, Any] = {"content": folder, "size": size, "seed": seed}
    sets = [SeededItems(make("dataset", "degraded", degradation=spec, **options), seed) for spec in specs]
    columns = [[items[number] for items in sets] for number in range(min(count, len(sets[0].dataset)))]
    rows = [[items[0]["style"], *(item["content"] for item in items)] for items in columns]
    images.write(out, grid(rows, ["clean", *degrade]))
    echo(f"Wrote {out}")


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
    """Writes the images, many of them in worker processes. Only a few are submitted ahead, so that Ctrl-C waits for only a
    few. The processes are spawned, because a copy of a process in which torch has started threads may crash."""
    processes = min(count // FEW, os.cpu_count() or 1, 8)
    if processes < 2:
        yield from map(write, range(count))
        return
    with ProcessPoolExecutor(processes, get_context("spawn"), _alone) as pool:
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


@data.command()
def pack(
    folder: Annotated[Path, typer.Argument(help="folder of images, perhaps with subfolders")],
    out: Annotated[Path, typer.Option("-o", "--out", help="a new or empty folder for the shards")],
    count: Annotated[int, typer.Option(min=1, help="images in each shard")] = 1000,
    megabytes: Annotated[
        int | None, typer.Option(min=1, help="end a shard earlier, before its images exceed this size")
    ] = None,
    json: Json = False,
) -> None:
    """Write the images of a folder into tar files (shards), which are read faster from slow or remote disks.

    A subfolder with images becomes a subfolder with shards, so sides, splits, classes and pairs stay. Files are copied as
    they are. Train with the new folder in place of the old one, or with its shards: --content 'shards/{00000..00012}.tar'.
    """
    limit = None if megabytes is None else megabytes * 10**6
    with Console(stderr=True).status("packing"):
        packed = list(packing.pack(folder, out, count, limit))
    if json:
        print_json({"folders": [_packed(each) for each in packed]})
        return
    rows = [[packing.pattern(each.shards), str(each.images), f"{each.bytes / 1e6:.1f} MB"] for each in packed]
    print_table(["shards", "images", "size"], rows)


def _packed(packed: packing.Packed) -> dict[str, Any]:
    return {
        "folder": str(packed.folder),
        "shards": packing.pattern(packed.shards),
        "count": len(packed.shards),
        "images": packed.images,
        "bytes": packed.bytes,
    }
