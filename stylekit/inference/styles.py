"""Styles: what a method knows of one, blended, kept in small files, and condensed from a folder of pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import stylekit
from stylekit.errors import StylekitError
from stylekit.method import Statistics
from stylekit.weights.tensors import read_tensors, write_tensors

SUFFIX = ".style"
SHARES = "shares"
LARGEST = 1e15
"""Statistics of pictures are far below, and the squares of these are still finite."""


@dataclass(frozen=True, eq=False)
class Style:
    """A style as a method knows it: one look, or several that belong together.

    Attributes:
        statistics: what the method's ``describe`` gave, a row a look
        shares: how much each look counts, ``(K,)``, together 1
        key: which models' it is, as :func:`key_of` tells
        method: name of the method that described it
    """

    statistics: Statistics
    shares: Tensor
    key: str
    method: str

    def look(self, number: int) -> Style:
        """One of the looks alone, counted from 1.

        Raises:
            StylekitError: there is none of that number.
        """
        if not 1 <= number <= len(self.shares):
            raise StylekitError(f"The style has the looks 1 to {len(self.shares)}, and no look {number}.")
        statistics = {name: rows[number - 1 : number] for name, rows in self.statistics.items()}
        return Style(statistics, torch.ones(1), self.key, self.method)


def blend(styles: Sequence[tuple[Style, float]]) -> Statistics:
    """The weighted average of styles, as statistics of one row.

    Raises:
        StylekitError: a weight is negative or not finite, all are zero, or the styles are of different kinds.
    """
    total = 0.0
    for _, weight in styles:
        if not 0 <= weight < float("inf"):
            raise StylekitError(f"The weight of a style is a number from 0 on, and not {weight}.")
        total += weight
    if not total:
        raise StylekitError(
            "The weights of the styles sum to zero, so there is no style. Give one of them a weight above 0."
        )
    first = styles[0][0].statistics
    if any(statistics_shapes(style.statistics) != statistics_shapes(first) for style, _ in styles):
        raise StylekitError("Styles of different methods do not blend: their statistics differ.")
    rows = {name: [style.statistics[name] for style, _ in styles] for name in first}
    shares = torch.cat([style.shares * (weight / total) for style, weight in styles])
    return {name: _average(torch.cat(each), shares.to(each[0])) for name, each in rows.items()}


def _average(rows: Tensor, shares: Tensor) -> Tensor:
    average: Tensor = torch.tensordot(shares, rows, 1)
    return average[None]


def statistics_shapes(statistics: Statistics) -> dict[str, tuple[int, ...]]:
    """The shape of a row of each of the statistics, by name."""
    return {name: tuple(rows.shape[1:]) for name, rows in statistics.items()}


def check_style_name(path: Path) -> None:
    """Refuses names of style files by which they would not be known again.

    Raises:
        StylekitError: it does not end in ``.style``.
    """
    if path.suffix != SUFFIX:
        raise StylekitError(f"A style file ends in {SUFFIX}, and {path} does not.")


def write_style(path: Path, style: Style) -> None:
    """Writes a style file: statistics and shares in safetensors, and in the header which models it fits.

    Raises:
        StylekitError: the name does not end in ``.style``, no space is left, or the file cannot be written.
    """
    check_style_name(path)
    about = {"stylekit": stylekit.__version__, "kind": "style", "key": style.key, "method": style.method}
    write_tensors(path, {**style.statistics, SHARES: style.shares}, about)


def read_style(path: Path) -> Style:
    """Reads a style file; its statistics become float32.

    Raises:
        StylekitError: there is none, it is damaged, or of another kind.
    """
    tensors, about = read_tensors(path)
    if about.get("kind") != "style" or SHARES not in tensors or not {"key", "method"} <= about.keys():
        raise StylekitError(f"{path} is no style file. `stylekit style learn` makes one of a folder of pictures.")
    # The names are shown to the user, and what a terminal would obey is not.
    printable = all(text.isprintable() for text in (about["method"], *tensors))
    if not printable or not re.fullmatch(r"[0-9a-f]+(:-?\d+\.\d+)?", about["key"]):
        raise StylekitError(f"{path} is damaged: its header is none that stylekit writes.")
    if not all(rows.is_floating_point() for rows in tensors.values()):
        raise StylekitError(f"{path} is damaged: it holds other tensors than those of numbers with a point.")
    statistics = {name: rows.float() for name, rows in tensors.items()}
    shares = statistics.pop(SHARES)
    good = shares.ndim == 1 and len(shares) and bool((shares >= 0).all()) and abs(float(shares.sum()) - 1) < 1e-3
    if not good or not statistics or any(rows.shape[:1] != shares.shape for rows in statistics.values()):
        raise StylekitError(f"{path} is damaged: its looks and their shares do not go together.")
    for name, rows in statistics.items():
        if not bool((rows.abs() <= LARGEST).all()):  # NaN neither
            raise StylekitError(f"{path} is damaged: numbers in its statistics {name!r} are none that pictures have.")
    return Style(statistics, shares, about["key"], about["method"])
