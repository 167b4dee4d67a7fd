"""The command ``stylekit draw-tulips``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def draw(
    out: Annotated[Path, typer.Argument(help="folder to write to")],
    count: Annotated[int, typer.Option(help="how many images")] = 3,
    size: Annotated[int, typer.Option(help="side of the images, in pixels")] = 64,
) -> None:
    """Draw fields of tulips."""
    from stylekit import images, make  # imports torch, so only when something is drawn

    fields = make("dataset", "tulip-field", size=size, split="test", length=count)
    out.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        images.write(out / f"{index}.png", fields[index]["content"])
    print(f"{count} images are in {out}")
