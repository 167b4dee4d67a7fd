"""Stylises an image of any size piece by piece, in bounded memory, with statistics that the pieces share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from stylekit.errors import StylekitError, suggest
from stylekit.inference.tiles.pieces import Box, Piece, divide, reduced_by, spread
from stylekit.inference.tiles.reach import measure_reach
from stylekit.inference.tiles.statistics import ALIGN, Core, SharedStatistics
from stylekit.native.memory import memory_text, process_memory

Sharing = Literal["auto", "exact", "sampled", "thumbnail", "local"]
FEW = 2
"""Number of statistics up to which they are measured exactly, if the user does not say: each takes a pass over the image."""
SAMPLE, SAMPLE_HALO = 128, 16
"""Sides of the pieces that are sampled, and what surrounds their cores. Many small ones say more than a few large ones."""
SAMPLED = 2**22
"""Maximum number of pixels that are sampled."""
THUMBNAIL = 1024
"""Maximum sides of the thumbnail."""
RESERVE = 0.8
"""The share of the allowed memory that is planned with: estimates are not exact."""
FRAGMENTED = 1.7
"""The memory of many tiles of different sizes, relative to that of one image, because what is freed is not all used again: as
measured, about 1.6."""
LEAST, USUAL, LARGEST = 128, 512, 1536
"""Sides of the cores of tiles: the least, that of methods whose memory is not known, and the largest."""


@dataclass(frozen=True)
class Tiles:
    """How an image is stylised in tiles.

    Args:
        side: maximum sides of the tiles, without the overlap; None: what the memory allows
        statistics: how the tiles share what networks compute of the whole image, such as the means of instance norms

            - ``exact``: measured over all tiles, with a pass over the image for each statistic; as if the image was not tiled
            - ``sampled``: measured at once on up to 256 small pieces that are evenly spread over the image
            - ``thumbnail``: those of the image at a reduced size (Chen et al. 2022, "Towards ultra-resolution neural style
              transfer via thumbnail instance normalization")
            - ``local``: each tile has its own, so that tiles are seen; for comparison
            - ``auto``: ``exact`` for methods with one or two statistics, otherwise ``sampled``
        memory: bytes that the process may use; None: what is free

    Raises:
        StylekitError: a number is too small, or the kind of statistics is unknown.
    """

    side: int | None = None
    statistics: Sharing = "auto"
    memory: int | None = None

    def __post_init__(self) -> None:
        if self.side is not None and self.side < LEAST:
            raise StylekitError(f"The side of a tile must be at least {LEAST} pixels, not {self.side}.")
        if self.statistics not in get_args(Sharing):
            raise StylekitError(
                f"Unknown statistics {self.statistics!r}. {suggest(str(self.statistics), get_args(Sharing))}"
            )

    def fits(self, height: int, width: int, needed: int, free: int) -> bool:
        """Whether an image can be stylised without tiles.

        Args:
            height: height of the image
            width: its width
            needed: bytes that this needs
            free: bytes that are free
        """
        return needed <= self.available(free) and (self.side is None or max(height, width) <= self.side)

    def available(self, free: int) -> int:
        """The bytes that may be used, of those that are free."""
        return free if self.memory is None else min(free, int(self.memory * RESERVE) - process_memory())


def side_of_cores(tiles: Tiles, halo: int, pixels: int, available: int, bytes_per_pixel: float) -> int:
    """The side of the cores of tiles, a multiple of ``ALIGN``.

    Args:
        tiles: what the user wants
        halo: how far tiles reach beyond their cores
        pixels: maximum number of pixels of a tile
        available: bytes that may be used, for the message
        bytes_per_pixel: memory that a pixel needs

    Raises:
        StylekitError: the memory does not suffice even for small tiles.
    """
    largest = math.isqrt(max(0, pixels)) - 2 * halo
    side = tiles.side or (min(largest, LARGEST) if pixels != SAMPLED else USUAL)
    if min(side, largest) < LEAST:
        needed = (LEAST + 2 * halo) ** 2 * bytes_per_pixel
        raise StylekitError(
            f"Not even a tile of {LEAST} pixels fits into the memory: it needs about {memory_text(needed)} with this "
            f"model, but only {memory_text(max(available, 0))} may be used. Allow more, or make the image smaller."
        )
    return max(LEAST, side // ALIGN * ALIGN)


class Stylize(Protocol):
    """Stylises parts of an image."""

    def __call__(self, images: Tensor, boxes: Sequence[Box] | None) -> Tensor:
        """Stylises images ``(N, C, h, w)``: each is a part of the whole one, or with None another image."""
        ...


class Tiling:
    """How one image is divided, and the statistics that its pieces share.

    Args:
        stylize: stylises parts of the image
        read: returns a part ``(1, C, h, w)`` of the image
        size: height and width of the image
        tiles: what the user wants
        bytes_per_pixel: memory that stylising needs; 0 if it is not known
        free: bytes that are free
        scale: factor from the sides of the image to those of the output
        what: the method, for messages
        on_progress: called before each piece with the number of those that were computed, and of all, in all passes
        pixels: pixels that are computed at once, as :attr:`pixels` was for a part of the image that is finished; 0: what the
            memory allows
        channels: channels of the image

    Attributes:
        pixels: pixels that are computed at once, on which the pieces and the samples depend

    Raises:
        StylekitError: the memory does not suffice even for small tiles, or the method sees the whole image at once.
    """

    def __init__(
        self,
        stylize: Stylize,
        read: Callable[[Box], Tensor],
        size: tuple[int, int],
        tiles: Tiles,
        bytes_per_pixel: float,
        free: int,
        scale: int,
        what: str,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
        pixels: int = 0,
        channels: int = 3,
    ) -> None:
        self._stylize, self._read, self.size, self.scale, self._on_progress = stylize, read, size, scale, on_progress
        reach, self._example = measure_reach(lambda image: stylize(image, None), scale, what, channels)
        count = len(self._example)
        self._available, self._bytes_per_pixel = tiles.available(free), FRAGMENTED * bytes_per_pixel
        self.pixels = pixels or (int(self._available / self._bytes_per_pixel) if bytes_per_pixel else SAMPLED)
        self.pieces = divide(
            *size, side_of_cores(tiles, reach, self.pixels, self._available, self._bytes_per_pixel), reach
        )
        chosen = tiles.statistics if tiles.statistics != "auto" else "exact" if count <= FEW else "sampled"
        self.statistics: Sharing = chosen
        self._done, self._total = 0, len(self.pieces) * (count + 1 if chosen == "exact" else 1)
        self._shared: SharedStatistics | None = None

    def measure(self) -> None:
        """Measures the shared statistics."""
        shared = SharedStatistics(self._example.layouts)
        if self.statistics == "exact":
            while shared.measure_next((self._run(piece), piece.core) for piece in self.pieces):
                pass
        elif self.statistics == "sampled":
            images, boxes, core = self._samples()
            shared.measure_together(partial(self._stylize, images, boxes), core)
        elif self.statistics == "thumbnail":
            image = self._thumbnail()
            shared.measure_together(partial(self._stylize, image, None), Core.whole(*image.shape[2:]))
        self._shared = None if self.statistics == "local" else shared

    def paint(self, pieces: Sequence[Piece]) -> Iterator[tuple[Box, Tensor]]:
        """Stylises pieces; yields the part of the output that each is, and its image ``(1, C, h, w)``."""
        for piece in pieces:
            run = self._run(piece)
            image = self._shared.compute(run, piece.core) if self._shared else run()
            inner = piece.inner.within(piece.box).scaled(self.scale)
            yield piece.inner.scaled(self.scale), image[..., inner.rows, inner.columns]

    def _run(self, piece: Piece) -> Callable[[], Tensor]:
        def run() -> Tensor:
            self._on_progress(min(self._done, self._total), self._total)
            self._done += 1
            return self._stylize(self._read(piece.box), [piece.box])

        return run

    def _samples(self) -> tuple[Tensor, list[Box], Core]:
        """Parts of the image that represent it, as one batch."""
        side = min(SAMPLE, *(length // ALIGN * ALIGN for length in self.size))
        if side <= 2 * SAMPLE_HALO:  # a narrow image: its largest tile represents it
            piece = max(self.pieces, key=lambda each: math.prod(each.core.size))
            return self._read(piece.box), [piece.box], piece.core
        count = max(1, min(SAMPLED, self.pixels) // side**2)
        pieces = spread(*self.size, side, SAMPLE_HALO, count)
        boxes = [piece.box for piece in pieces]
        return torch.cat([self._read(box) for box in boxes]), boxes, pieces[0].core

    def _thumbnail(self) -> Tensor:
        """The whole image, reduced by a whole factor; read in bands."""
        return reduced_by(-(-max(self.size) // THUMBNAIL), self._read, self.size)
