"""Stylises large images in tiles that share statistics, or region by region where stylising is an optimisation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from stylekit.images import Canvas, Decoded
from stylekit.images.draft import Draft
from stylekit.inference.request import Request
from stylekit.inference.tiles import Box, Regions, Tiles, Tiling
from stylekit.inference.transparency import visible_parts, with_alpha
from stylekit.method import Method, OptimizingMethod
from stylekit.native import devices, malloc

UNIT = 1024
"""Side of the image whose memory tells how much a pixel needs."""
Progress = Callable[[int, int], None]


def silent(done: int, total: int) -> None:
    """Shows no progress."""


@dataclass(frozen=True)
class LargeImages:
    """Stylises the images of a model that are too large to be stylised at once.

    Attributes:
        method: the method, with its weights
        name: its registered name
        device: where it computes
        needed: the bytes that an image of a height and a width needs with the method's options
    """

    method: Method
    name: str
    device: torch.device
    needed: Callable[[int, int, Mapping[str, Any]], int]

    def stylize(self, image: Tensor, maps: Sequence[Tensor], request: Request, tiles: Tiles) -> Tensor:
        """Stylises an image ``(1, C, H, W)``.

        Args:
            image: the image
            maps: where each style is, as large as the image
            request: what is wanted
            tiles: how to divide the image
        """
        height, width = image.shape[2:]

        def read(box: Box) -> Tensor:
            return image[..., box.rows, box.columns]

        def draft(name: str, height: int, width: int) -> Draft:
            return Draft(torch.empty(*image.shape[:2], height, width))

        optimized: list[Tensor] = []
        if self._optimizes(request):
            optimized = self._optimized(read, (height, width), request, self._side(tiles), draft)
        tiling = self._tiling(read, (height, width), maps, request, tiles, optimized=optimized)
        scale = self.method.scale
        channels = self.method.result_channels or image.shape[1]
        out = image.new_empty(1, channels, height * scale, width * scale)
        tiling.measure()
        for box, part in tiling.paint(tiling.pieces):
            out[..., box.rows, box.columns] = part
        return out

    def put(
        self,
        picture: Decoded,
        canvas: Canvas,
        maps: Sequence[Tensor],
        request: Request,
        tiles: Tiles,
        on_progress: Progress = silent,
    ) -> None:
        """Stylises a picture on a canvas; parts that are on it already are not made again.

        Args:
            picture: the picture
            canvas: what the result is put on
            maps: where each style is, as large as the picture
            request: what is wanted
            tiles: how to divide the picture
            on_progress: called with the number of tiles that have been computed, and of all, in all passes over the picture

        Raises:
            StylekitError: no space is left.
        """
        read, mean = visible_parts(picture)
        optimized: list[Tensor] = []
        if self._optimizes(request):
            canvas.plan = canvas.plan or self._side(tiles)
            optimized = self._optimized(read, picture.size, request, canvas.plan, canvas.draft, on_progress)
        plan = 0 if optimized else canvas.plan
        tiling = self._tiling(read, picture.size, maps, request, tiles, on_progress, plan, optimized)
        canvas.plan = canvas.plan or tiling.pixels
        pieces = tiling.pieces[canvas.done :]
        tiling.measure()
        for piece, (box, image) in zip(pieces, tiling.paint(pieces), strict=True):
            original = picture.part(piece.inner.rows, piece.inner.columns)
            canvas.put(box.top, box.left, with_alpha(original, image.cpu(), self.method.scale, mean))

    def _tiling(
        self,
        read: Callable[[Box], Tensor],
        size: tuple[int, int],
        maps: Sequence[Tensor],
        request: Request,
        tiles: Tiles,
        on_progress: Progress = silent,
        pixels: int = 0,
        optimized: Sequence[Tensor] = (),
    ) -> Tiling:
        needed = 0.0 if optimized else self._bytes_per_pixel(request.options)
        malloc.release_freed_memory()  # such as that of the image file while it was decoded
        stylize = partial(request.stylize_parts, maps, optimized)
        free = devices.free_memory(self.device)
        what = f"method {self.name!r}"
        scale, channels = self.method.scale, self.method.image_channels
        return Tiling(stylize, read, size, tiles, needed, free, scale, what, on_progress, pixels, channels)

    def _bytes_per_pixel(self, options: Mapping[str, Any]) -> float:
        return self.needed(UNIT, UNIT, options) / UNIT**2

    def _optimizes(self, request: Request) -> bool:
        return isinstance(self.method, OptimizingMethod) and not request.untouched

    def _side(self, tiles: Tiles) -> int:
        """The side of the regions that are optimised, which may depend on the memory."""
        needed = self._bytes_per_pixel({})
        malloc.release_freed_memory()
        return Regions.fitting_side(tiles, needed, devices.free_memory(self.device))

    def _optimized(
        self,
        read: Callable[[Box], Tensor],
        size: tuple[int, int],
        request: Request,
        side: int,
        draft: Callable[[str, int, int], Draft],
        on_progress: Progress = silent,
    ) -> list[Tensor]:
        """What a method that optimises makes of a large image, region by region, in each style."""
        assert isinstance(self.method, OptimizingMethod)
        regions = Regions(self.method, read, size, side, self.device, draft, on_progress)
        styles = [style for style in request.regions if style is not None]
        return [regions.optimize(style, request.strength, str(number)) for number, style in enumerate(styles)]
