"""Styles: the statistics that a method extracted, for blending and for storing in small files."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import stylekit
from stylekit.errors import StylekitError
from stylekit.inference.controls import total_weight
from stylekit.method import Statistics
from stylekit.weights.containers import LARGEST
from stylekit.weights.tensors import read_tensors, write_tensors

SUFFIX = ".style"
SHARES = "shares"


@dataclass(frozen=True, eq=False)
class Style:
    """A style as a method describes it: one look, or several that belong together.

    Attributes:
        statistics: what the method's ``describe`` returned, one row per look
        shares: weights of the looks, ``(K,)``, with a sum of 1
        key: key of the models that it fits, from :func:`stylekit.inference.style_keys.style_key`
        method: name of the method that described it
    """

    statistics: Statistics
    shares: Tensor
    key: str
    method: str

    def look(self, number: int) -> Style:
        """A single look as a style; looks are counted from 1.

        Raises:
            StylekitError: there is no look of that number.
        """
        if not 1 <= number <= len(self.shares):
            raise StylekitError(f"There is no look {number}: the style has the looks 1 to {len(self.shares)}.")
        statistics = {name: rows[number - 1 : number] for name, rows in self.statistics.items()}
        return Style(statistics, torch.ones(1), self.key, self.method)


def blend(styles: Sequence[tuple[Style, float]]) -> Statistics:
    """The weighted average of styles, as statistics with one row.

    Raises:
        StylekitError: a weight is negative or not finite, all are zero, or the styles have different statistics.
    """
    total = total_weight([weight for _, weight in styles])
    first = styles[0][0].statistics
    if any(statistics_shapes(style.statistics) != statistics_shapes(first) for style, _ in styles):
        raise StylekitError("Styles of different methods cannot be blended: their statistics differ.")
    rows = {name: [style.statistics[name] for style, _ in styles] for name in first}
    shares = torch.cat([style.shares * (weight / total) for style, weight in styles])
    return {name: _average(torch.cat(each), shares.to(each[0])) for name, each in rows.items()}


def _average(rows: Tensor, shares: Tensor) -> Tensor:
    average: Tensor = torch.tensordot(shares, rows, 1)
    return average[None]


def statistics_shapes(statistics: Statistics) -> dict[str, tuple[int, ...]]:
    """The shape of one row of each statistic, by name."""
    return {name: tuple(rows.shape[1:]) for name, rows in statistics.items()}


def check_style_name(path: Path) -> None:
    """Checks the name of a style file, because files are recognised as styles by their suffix.

    Raises:
        StylekitError: the name does not end in ``.style``.
    """
    if path.suffix != SUFFIX:
        raise StylekitError(f"The name of a style file must end in {SUFFIX}, but {path} does not.")


def write_style(path: Path, style: Style) -> None:
    """Writes a style file: statistics in safetensors, and in the header, the shares and which models it fits.

    Raises:
        StylekitError: the name does not end in ``.style``, no space is left, or the file cannot be written.
    """
    check_style_name(path)
    header = {
        "stylekit": stylekit.__version__,
        "kind": "style",
        "key": style.key,
        "method": style.method,
        SHARES: json.dumps(style.shares.tolist()),
    }
    write_tensors(path, style.statistics, header)


def read_style(path: Path) -> Style:
    """Reads a style file; its statistics are converted to float32.

    Raises:
        StylekitError: the file does not exist, is damaged, or is not a style file.
    """
    tensors, header = read_tensors(path)
    if header.get("kind") != "style" or SHARES not in {*header, *tensors} or not {"key", "method"} <= header.keys():
        raise StylekitError(f"{path} is not a style file. `stylekit style learn` creates one from a folder of images.")
    # The names are shown to the user, and control characters could take over the terminal.
    printable = all(text.isprintable() for text in (header["method"], *tensors))
    if not printable or not re.fullmatch(r"[0-9a-f]+(:-?\d+\.\d+)?", header["key"]):
        raise StylekitError(f"{path} is damaged: its header is invalid.")
    if not all(rows.is_floating_point() for rows in tensors.values()):
        raise StylekitError(f"{path} is damaged: it contains non-floating-point tensors.")
    statistics = {name: rows.float() for name, rows in tensors.items()}
    # The first style files have the shares among the statistics.
    shares = _shares(path, header[SHARES]) if SHARES in header else statistics.pop(SHARES)
    valid = shares.ndim == 1 and len(shares) and bool((shares >= 0).all()) and abs(float(shares.sum()) - 1) < 1e-3
    if not valid or not statistics or any(rows.shape[:1] != shares.shape for rows in statistics.values()):
        raise StylekitError(f"{path} is damaged: its looks and their shares do not match.")
    for name, rows in statistics.items():
        if not bool((rows.abs() <= LARGEST).all()):  # also true for NaN
            raise StylekitError(f"{path} is damaged: its statistics {name!r} contain values that no image has.")
    return Style(statistics, shares, header["key"], header["method"])


def _shares(path: Path, text: str) -> Tensor:
    try:
        return torch.tensor(json.loads(text), dtype=torch.float32)
    except (ValueError, TypeError, RuntimeError, OverflowError):  # RecursionError is a RuntimeError
        raise StylekitError(f"{path} is damaged: its header is invalid.") from None
