"""Styles: what a method knows of one, blended, kept in small files, and condensed from a folder of pictures."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import stylekit
from stylekit.errors import StylekitError
from stylekit.method import Method, Statistics
from stylekit.seeding import seeded
from stylekit.weights.tensors import read_tensors, write_tensors

SUFFIX = ".style"
SHARES = "shares"
LARGEST = 1e15
"""Statistics of pictures are far below, and the squares of these are still finite."""
SIDE = 8
"""Of the picture that tells models apart by what they take from it: few pixels, so that each counts."""
TOLERANCE = 5e-3
"""How far two devices may differ in what they take from it: convolutions may round to 10 bits."""


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


def probe_statistics(method: Method, device: torch.device) -> Statistics:
    """Statistics by which models are told apart: of one small picture, or the first that is known by heart, or none."""
    if not method.takes_styles():
        return next(iter(method.styles().values()), {})
    waves = torch.arange(3 * SIDE**2, dtype=torch.float64).square().mul(0.1).sin()
    picture = ((1 + waves) / 2).float().view(1, 3, SIDE, SIDE)
    with torch.no_grad(), seeded("sample"):
        return method.describe(picture.to(device))


def style_key(method: Method, name: str, known: Statistics) -> str:
    """Tells apart models whose styles do not fit each other.

    A digest of the method's name, of the weights that describe, and of the statistics' names and shapes; then, after a
    colon, how large the statistics of a sample are, for options that no weight and no shape shows. Models whose other
    weights and options differ, such as a decoder that learnt on, share their styles.

    Args:
        method: the method, with its weights
        name: the name that it is registered by
        known: what :func:`sample` gave
    """
    digest = hashlib.sha256(f"{name} {sorted(statistics_shapes(known).items())} ".encode())
    for key, tensor in sorted(method.state_dict().items()):
        if key.split(".")[0] in method.style_modules:
            digest.update(f"{key} {tuple(tensor.shape)} ".encode())
            digest.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return f"{digest.hexdigest()[:16]}:{sum(map(_magnitude, known.values())):.4f}"


def _magnitude(rows: Tensor) -> float:
    """The logarithm of the root mean square, where later numbers count more, so that their order shows."""
    row = rows[0].detach().cpu().double().flatten()
    return math.log(1e-6 + float((row * torch.linspace(1, 2, len(row))).square().mean().sqrt().nan_to_num()))


def keys_match(one: str, other: str) -> bool:
    """Whether two keys are of models that share their styles."""
    (digest, _, magnitude), (also, _, compared) = one.partition(":"), other.partition(":")
    return digest == also and math.isclose(float(magnitude or 0), float(compared or 0), abs_tol=TOLERANCE)


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


def cluster_styles(described: Iterable[Statistics], looks: int) -> tuple[Statistics, Tensor]:
    """Gathers the statistics of many pictures into a few looks: clusters, each the average of its pictures.

    k-means on the statistics, each divided by its own spread so that all count alike, started from pictures far from each
    other (Arthur and Vassilvitskii 2007, without the dice).

    Args:
        described: what ``describe`` gave for each picture, one row each
        looks: how many at most

    Returns:
        The statistics with a row a look, and the share of pictures of each; the largest first.
    """
    pictures = list(described)
    rows = {name: torch.cat([each[name] for each in pictures]) for name in pictures[0]}
    points = torch.cat([_scaled(each.flatten(1).double().cpu()) for each in rows.values()], 1)
    nearest = _cluster(points, min(looks, len(points)))
    groups = sorted((nearest == group for group in nearest.unique()), key=lambda members: -int(members.sum()))
    statistics = {name: torch.stack([each[members].mean(0) for members in groups]) for name, each in rows.items()}
    return statistics, torch.stack([members.float().mean() for members in groups])


def _scaled(rows: Tensor) -> Tensor:
    """Brought to a mean squared distance of 1 from their middle."""
    away = rows - rows.mean(0)
    return away / away.square().sum(1).mean().sqrt().clamp(min=1e-12)


def _cluster(points: Tensor, count: int, rounds: int = 50) -> Tensor:
    """The number of the cluster of each point ``(K, D)``."""
    centres = points[points.norm(dim=1).argmin()][None]
    while len(centres) < count:
        centres = torch.cat([centres, points[torch.cdist(points, centres).amin(1).argmax()][None]])
    nearest = torch.cdist(points, centres).argmin(1)
    for _ in range(rounds):
        centres = torch.stack([
            points[nearest == group].mean(0) if bool((nearest == group).any()) else centres[group]
            for group in range(count)
        ])  # fmt: skip
        before, nearest = nearest, torch.cdist(points, centres).argmin(1)
        if torch.equal(before, nearest):
            break
    return nearest
