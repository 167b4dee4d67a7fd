"""How an image is divided: pieces that overlap, and whose cores together are the image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from stylekit.inference.tiles.statistics import ALIGN, Core


@dataclass(frozen=True)
class Box:
    """A part of an image, in pixels: the first row and column, and those behind the last."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def rows(self) -> slice:
        """The rows."""
        return slice(self.top, self.bottom)

    @property
    def columns(self) -> slice:
        """The columns."""
        return slice(self.left, self.right)

    def scaled(self, factor: int) -> Box:
        """The same part of an image that is larger by a factor."""
        return Box(*(factor * each for each in (self.top, self.left, self.bottom, self.right)))

    def within(self, other: Box) -> Box:
        """The same part, counted from the first row and column of another one."""
        return Box(
            self.top - other.top, self.left - other.left, self.bottom - other.top, self.right - other.left
        )  # fmt: skip


@dataclass(frozen=True)
class Piece:
    """A part of an image that is computed at once.

    Attributes:
        box: what is computed
        inner: the part of it that is kept
    """

    box: Box
    inner: Box

    @property
    def core(self) -> Core:
        """The part that is kept, for the statistics."""
        size, core = self.box.within(self.box), self.inner.within(self.box)
        return Core((size.bottom, size.right), (core.top, core.bottom), (core.left, core.right))


def divide(height: int, width: int, side: int, halo: int) -> list[Piece]:
    """Divides an image into pieces, row by row, whose cores are about equal.

    Args:
        height: height of the image
        width: its width
        side: maximum sides of the cores, a multiple of ``ALIGN``
        halo: how far a piece reaches beyond its core, a multiple of ``ALIGN``
    """

    def spans(length: int) -> Iterator[tuple[int, int]]:
        count = -(-length // side)
        step = -(-length // (count * ALIGN)) * ALIGN
        for start in range(0, length, step):
            yield start, min(start + step, length)

    pieces = []
    for top, bottom in spans(height):
        for left, right in spans(width):
            outer = (max(0, top - halo), max(0, left - halo), min(height, bottom + halo), min(width, right + halo))
            pieces.append(Piece(Box(*outer), Box(top, left, bottom, right)))
    return pieces


def spread(height: int, width: int, side: int, halo: int, count: int) -> list[Piece]:
    """Pieces of one size, evenly spread over an image, as samples of it.

    Args:
        height: height of the image, at least ``side``
        width: its width, likewise
        side: sides of the pieces, a multiple of ``ALIGN``
        halo: how far each reaches beyond its core
        count: about how many; fewer if they would overlap
    """
    rows = min(max(1, round((count * height / width) ** 0.5)), max(1, height // side), count)
    columns = min(max(1, count // rows), max(1, width // side))

    def starts(length: int, number: int) -> list[int]:
        free = length - side
        places = [free // 2] if number == 1 else [free * index // (number - 1) for index in range(number)]
        return [place // ALIGN * ALIGN for place in places]

    return [
        Piece(
            Box(top, left, top + side, left + side), Box(top + halo, left + halo, top + side - halo, left + side - halo)
        )
        for top in starts(height, rows)
        for left in starts(width, columns)
    ]


def reduced_by(factor: int, read: Callable[[Box], Tensor], size: tuple[int, int]) -> Tensor:
    """A whole image, reduced by a factor; read in bands.

    Args:
        factor: the factor; the sides are rounded up
        read: returns a part ``(1, C, h, w)`` of the image
        size: height and width of the image
    """
    height, width = size
    step = max(1, ALIGN // factor) * factor
    # Allocated at once: small tensors that stay between large ones that are freed would make the heap grow.
    pixel = read(Box(0, 0, 1, 1))
    reduced = pixel.new_empty(*pixel.shape[:2], -(-height // factor), -(-width // factor))
    for top in range(0, height, step):
        band = read(Box(top, 0, min(top + step, height), width))
        pooled = F.avg_pool2d(band, factor, ceil_mode=True, count_include_pad=False)
        reduced[..., top // factor : top // factor + pooled.shape[2], :] = pooled
    return reduced
