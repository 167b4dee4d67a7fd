"""What an exported file says about itself. Does not import torch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from stylekit._files import explain_os_errors, is_file
from stylekit.errors import StylekitError

FORMAT = 1
KEY = "stylekit"
"""The key of the card in a file's metadata."""
DESCRIBE = ".describe"
"""Comes before the suffix in the name of the file that describes styles."""
Array = NDArray[np.float32]
Graph = Literal["stylize", "describe", "sample"]
CELLS = 4
"""Rows and columns of an image's summary."""


@dataclass(frozen=True)
class Probe:
    """What the model makes of an image that everyone can draw, so that a file can be checked without torch.

    Attributes:
        size: height and width of the image
        means: the mean colours of the output in 4 x 4 cells
    """

    size: Sequence[int]
    means: Sequence[float]


@dataclass(frozen=True)
class Card:
    """What an exported file says about itself.

    Attributes:
        graph: what it computes: ``stylize`` an image, ``describe`` a style image, or ``sample`` an image from codes
        method: registered name of the method
        stylekit: version of stylekit that wrote it
        weights: SHA-256 of the method's weights, shortened to 16 digits
        options: the method's own options, which are part of the graph
        scale: the factor from the sides of the input to those of the output
        statistics: shapes of one row of each statistic of a style, by name
        style_key: key of the style files that fit; see :mod:`stylekit.inference.style_keys`
        learned: statistics of the styles that the method has learned, one row each, by name
        takes_styles: whether the method accepts style images, which another file describes
        strength: how a strength below 1 is computed: an ``input`` of the graph, ``statistics`` between those of the content
            and those of the style, or ``none``
        batch: whether it accepts any number of images at once; otherwise one at a time
        zero_strength: whether the method defines what a strength of 0 means; otherwise, the content is blended in
        bytes_per_pixel: memory that stylising needs for each pixel; 0 if it is not known
        codes: shape of one row of the codes of a method that draws samples
        probes: what it makes of images that everyone can draw
    """

    graph: Graph
    method: str
    stylekit: str
    weights: str
    options: Mapping[str, Any] = field(default_factory=dict)
    scale: int = 1
    statistics: Mapping[str, Sequence[int]] = field(default_factory=dict)
    style_key: str = ""
    learned: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    takes_styles: bool = False
    strength: Literal["input", "statistics", "none"] = "none"
    batch: bool = True
    zero_strength: bool = False
    bytes_per_pixel: int = 0
    codes: Sequence[int] = ()
    probes: Sequence[Probe] = ()

    def as_json(self) -> str:
        """The card as a text."""
        return json.dumps({"format": FORMAT, **asdict(self)})


def parse_card(text: str, path: Path) -> Card:
    """Reads a card.

    Args:
        text: what :meth:`Card.as_json` returned
        path: its file, for messages

    Raises:
        StylekitError: it is damaged, or a later version wrote it.
    """
    try:
        values = json.loads(text)
        if values.pop("format") != FORMAT:
            raise StylekitError(f"{path} was written by another version of stylekit. Export the model again.")
        probes = [Probe(**each) for each in values.pop("probes")]
        known = {each.name for each in fields(Card)}
        card = Card(**{name: value for name, value in values.items() if name in known}, probes=probes)
        _require_sound(card)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise StylekitError(f"{path} is damaged: what stylekit wrote about it cannot be read ({error}).") from None
    return card


def _require_sound(card: Card) -> None:
    """Checks the types and the ranges of what a file says, as anyone may have written it.

    Raises:
        ValueError: something is wrong.
    """
    texts = (card.method, card.weights, card.style_key, card.stylekit)
    numbers = (card.scale, card.bytes_per_pixel)
    learned = [rows for each in card.learned.values() for rows in each.items()]
    sound = (
        all(isinstance(text, str) and text.isprintable() and len(text) < 200 for text in texts)
        and card.graph in get_args(Graph)
        and card.strength in ("input", "statistics", "none")
        and all(type(number) is int and 0 <= number < 10**6 for number in numbers)
        and 1 <= card.scale <= 16
        and all(type(flag) is bool for flag in (card.takes_styles, card.batch, card.zero_strength))
        and all(isinstance(name, str) and _is_shape(shape, 10**7) for name, shape in card.statistics.items())
        and _is_shape(card.codes, 10**7)
        and all(each.keys() == card.statistics.keys() for each in card.learned.values())
        and all(np.shape(rows) == (1, *card.statistics[name]) for name, rows in learned)
        and len(card.probes) <= 8
        and all(_is_shape(each.size, 10**6) and 1 <= len(each.size) <= 2 for each in card.probes)
        and all(_is_means(each.means) for each in card.probes)
    )
    if not sound:
        raise ValueError("invalid values")


def _is_shape(value: Any, largest: int) -> bool:
    """Whether a value is a list of sizes that are not too large together."""
    sizes = (
        isinstance(value, list)
        and len(value) <= 4
        and all(type(each) is int and 1 <= each <= largest for each in value)
    )
    return sizes and math.prod(value) <= largest


def _is_means(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= 3 * CELLS**2 and all(type(each) in (int, float) for each in value)


def read_onnx_card(path: Path) -> Card:
    """The card in an ONNX file. Only the file's outermost fields are read, so this is quick and needs no runtime.

    Raises:
        StylekitError: there is no such file, it is no ONNX file, or stylekit did not write it.
    """
    if not is_file(path):
        raise StylekitError(f"There is no file {path}.")
    with explain_os_errors(path, "read"), path.open("rb") as file:
        try:
            texts = dict(_metadata(file, path.stat().st_size))
        except ValueError as error:
            raise StylekitError(f"{path} is damaged, or not an ONNX file ({error}).") from None
    if KEY not in texts:
        raise StylekitError(f"{path} was not written by `stylekit export`, so how to use it is not known.")
    return parse_card(texts[KEY], path)


METADATA, LONGEST = 14, 2**24
"""The number of the field ``metadata_props`` of an ONNX model, and the largest size of an entry."""


def _metadata(file: BinaryIO, end: int) -> Iterator[tuple[str, str]]:
    """The texts in an ONNX model's metadata; others fields are skipped."""
    for number, size in _entries(file, end):
        if number != METADATA:
            file.seek(size, 1)
            continue
        if size > LONGEST:
            raise ValueError("its metadata are too long")
        stop, texts = file.tell() + size, {}
        for part, length in _entries(file, stop):
            texts[part] = file.read(length).decode()
        yield texts.get(1, ""), texts.get(2, "")


def _entries(file: BinaryIO, end: int) -> Iterator[tuple[int, int]]:
    """The numbers and sizes of the fields of a protobuf message; those with a length must be read or skipped."""
    while file.tell() < end:
        tag = _varint(file)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            _varint(file)
        elif kind in (1, 5):
            file.seek(8 if kind == 1 else 4, 1)
        elif kind == 2:
            size = _varint(file)
            if file.tell() + size > end:
                raise ValueError("it is truncated")
            yield number, size
        else:
            raise ValueError(f"it has a field of the unknown type {kind}")


def _varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            raise ValueError("it is truncated")
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return value
    raise ValueError("it has an invalid number")


def describing(path: Path) -> Path:
    """The file that describes styles for the exported model in another file."""
    return path.with_name(f"{path.stem}{DESCRIBE}{path.suffix}")


def file_names(path: Path) -> list[Path]:
    """The files that an exported model may consist of: the model, what describes styles for it, and their weights."""
    models = [path, describing(path)]
    return models if path.suffix != ".xml" else [*models, *(each.with_suffix(".bin") for each in models)]


def drawn(height: int, width: int, phase: float = 0.0) -> Array:
    """An image ``(1, 3, H, W)`` in [0, 1] that everyone can draw: waves of several lengths, and a step."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(phase + x / (3 + 4 * c) + c) * np.cos(y / (5 + 3 * c) - phase) for c in range(3)]
    steps = ((x * 3 // max(width, 1)) + (y * 2 // max(height, 1))) % 2
    return np.asarray(0.5 + 0.35 * np.stack(waves) + 0.15 * (steps - 0.5), np.float32)[None]


def summary(image: NDArray[Any]) -> list[float]:
    """The mean colours of an image ``(1, 3, H, W)`` in 4 x 4 cells, to five digits."""
    rows = [part for part in np.array_split(image[0].astype(np.float64), CELLS, 1) if part.size]
    cells = [cell.mean((1, 2)) for row in rows for cell in np.array_split(row, CELLS, 2) if cell.size]
    return [round(float(value), 5) if math.isfinite(value) else 2.0 for cell in cells for value in cell]
