"""Styles as NumPy arrays: reading style files, and blending. Does not import torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stylekit.errors import StylekitError
from stylekit.inference.controls import total_weight
from stylekit.inference.exported.card import Array, Card
from stylekit.inference.style_keys import keys_match
from stylekit.weights.containers import LARGEST, read_safetensors

SUFFIX = ".style"


@dataclass(frozen=True, eq=False)
class ArrayStyle:
    """A style as a method describes it; see :class:`stylekit.inference.styles.Style`.

    Attributes:
        statistics: arrays by name, one row per look
        shares: weights of the looks, ``(K,)``, with a sum of 1
    """

    statistics: Mapping[str, Array]
    shares: Array


def blend(styles: Sequence[tuple[ArrayStyle, float]]) -> dict[str, Array]:
    """The weighted average of styles, as statistics with one row.

    Raises:
        StylekitError: a weight is negative or not finite, or all are zero.
    """
    total = total_weight([weight for _, weight in styles])
    result: dict[str, Array] = {}
    for style, weight in styles:  # one after the other, as their rows together could be large
        shares = np.asarray(style.shares * (weight / total), np.float32)
        for name, rows in style.statistics.items():
            part = np.tensordot(shares, rows, 1)[None]
            result[name] = result[name] + part if name in result else part
    return result


def read_style_file(path: Path, look: str | None, card: Card) -> ArrayStyle:
    """Reads a style file for an exported model.

    Args:
        path: the file
        look: number of the only look to use, from 1; None: all of them
        card: the card of the model

    Raises:
        StylekitError: the file is missing or damaged, belongs to another model, or has no such look.
    """
    arrays, header = read_safetensors(path, "np")
    if header.get("kind") != "style" or "shares" not in {*header, *arrays} or "key" not in header:
        raise StylekitError(f"{path} is not a style file. `stylekit style learn` creates one from a folder of images.")
    shares = _shares(header["shares"], path) if "shares" in header else arrays.pop("shares")
    if not keys_match(header["key"], card.style_key):
        raise StylekitError(
            f"{path} was described by another model and is incompatible with this one, of the method {card.method!r}. Use "
            "that model, or learn the style again with this one."
        )
    shapes = {name: list(rows.shape[1:]) for name, rows in arrays.items()}
    sound = all(
        rows.dtype.kind == "f" and len(rows) == len(shares) and bool((np.abs(rows) <= LARGEST).all())
        for rows in arrays.values()
    )
    if shapes != {name: list(shape) for name, shape in card.statistics.items()} or not sound or not len(shares):
        raise StylekitError(f"{path} is damaged: its statistics do not fit the method {card.method!r}.")
    statistics = {name: arrays[name].astype(np.float32) for name in card.statistics}
    if look is None:
        return ArrayStyle(statistics, np.asarray(shares, np.float32))
    if not look.isdecimal() or not 1 <= int(look[:9]) <= len(shares):
        raise StylekitError(f"{path}#{look}: there is no such look; the style has the looks 1 to {len(shares)}.")
    row = int(look) - 1
    return ArrayStyle({name: rows[row : row + 1] for name, rows in statistics.items()}, np.ones(1, np.float32))


def _shares(text: str, path: Path) -> Any:
    try:
        shares = np.array(json.loads(text), np.float32)
        if shares.ndim == 1 and (shares >= 0).all() and abs(float(shares.sum()) - 1) < 1e-3:
            return shares
    except (ValueError, TypeError, OverflowError, RecursionError):
        pass
    raise StylekitError(f"{path} is damaged: its header is invalid.")
