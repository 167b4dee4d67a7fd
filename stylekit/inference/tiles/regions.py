"""Optimises an image of any size region by region, in bounded memory, each as if the whole image was optimised.

The loss of an optimisation looks at means over the whole image, such as Gram matrices. Those of a region alone would pull each
region towards all of the style, so that a plain sky got the strokes of a face. So the loss of a region is that of the whole
image, of which all but this region is held constant: its means are those of the rest, merged with those of the region as it is
now. After each region, the means of the whole are updated (a block coordinate descent): if that was done after each pass over
the image, all regions would correct the same fault at once, and together too much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from stylekit.images import resize
from stylekit.images.draft import Draft
from stylekit.inference.memory import probe_image
from stylekit.inference.tiles.pieces import Box, Piece, divide, reduced_by
from stylekit.inference.tiles.statistics import ALIGN, Core, SharedStatistics
from stylekit.inference.tiles.tiling import FRAGMENTED, SAMPLED, Tiles, side_of_cores
from stylekit.method import OptimizingMethod, Stage, Statistics, halved_size

HALO, BLENDED = 2 * ALIGN, ALIGN
"""How far a region reaches beyond its core, and the part of that in which its changes fade out. What is behind that is only
there for the networks to see."""
EXAMPLE = 256
"""Side of the image by which the layouts of feature maps are found."""
Objective = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class _Content:
    """A content at the size of a stage: height and width, and what reads a part ``(1, 3, h, w)`` of it."""

    size: tuple[int, int]
    read: Callable[[Box], Tensor]

    @classmethod
    def of(cls, whole: Tensor) -> _Content:
        height, width = whole.shape[2:]
        return cls((height, width), lambda box: whole[..., box.rows, box.columns])

    def whole(self) -> Tensor:
        return self.read(Box(0, 0, *self.size))


@dataclass(frozen=True)
class Regions:
    """How one image is optimised.

    Args:
        method: the method
        read: returns a part ``(1, 3, h, w)`` of the content, on any device
        size: height and width of the content
        side: maximum sides of the cores of regions, a multiple of ``ALIGN``
        device: where the method computes
        draft: returns an image ``(1, 3, H, W)`` by its name, height and width; parts that it has are not made again
        on_progress: called before each region with the number of those that are finished, and of all
    """

    method: OptimizingMethod
    read: Callable[[Box], Tensor]
    size: tuple[int, int]
    side: int
    device: torch.device
    draft: Callable[[str, int, int], Draft]
    on_progress: Callable[[int, int], None] = lambda done, total: None

    @staticmethod
    def fitting_side(tiles: Tiles, bytes_per_pixel: float, free: int) -> int:
        """The largest ``side`` that the user and the memory allow.

        Args:
            tiles: what the user wants
            bytes_per_pixel: memory that a step needs; 0 if it is not known
            free: bytes that are free

        Raises:
            StylekitError: the memory does not suffice even for small regions.
        """
        needed, available = FRAGMENTED * bytes_per_pixel, tiles.available(free)
        pixels = int(available / needed) if needed else SAMPLED
        return side_of_cores(tiles, HALO, pixels, available, needed)

    @torch.no_grad()
    def optimize(self, style: Statistics, strength: float = 1.0, name: str = "0") -> Tensor:
        """Optimises the image, from coarse to fine: at once, where it is one region.

        Args:
            style: the style
            strength: as for the method
            name: what the names of the drafts begin with

        Returns:
            the image ``(1, 3, H, W)``, which ``draft`` made
        """
        image: Tensor | None = None
        progress, done = self._progress(), 0
        for number, stage in enumerate(self.method.stages(*self.size)):
            size = halved_size(*self.size, stage.level)
            pieces = divide(*size, self.side, HALO)
            draft = self.draft(f"{name}-{number}", *size)
            start, image = image, draft.values
            for _ in range(draft.done):
                next(progress)
            if draft.done == len(pieces):
                done += stage.steps
                continue
            content = self._content(stage.level)
            if not draft.done:
                start = self._first(content, style, strength) if start is None else start
                for piece in pieces:
                    image[..., piece.inner.rows, piece.inner.columns] = enlarged_part(start, size, piece.inner)
            if len(pieces) == 1:
                next(progress)
                objective = self.method.objective(content.whole().to(self.device), style, strength, stage.level)
                on_step = partial(self._on_step, done)
                image.copy_(self._descend(image.to(self.device), objective, stage.steps, on_step))
                draft.finish_part()
            else:
                self._optimize_regions(draft, content, pieces, style, strength, stage, progress)
            done += stage.steps
        assert image is not None
        return image

    def _progress(self) -> Iterator[None]:
        sizes = [halved_size(*self.size, stage.level) for stage in self.method.stages(*self.size)]
        total = sum(len(divide(*size, self.side, HALO)) for size in sizes)
        for done in range(total):
            self.on_progress(done, total)
            yield

    def _content(self, level: int) -> _Content:
        """The content at a level. It is read in bands, because all of it may not fit into the memory at its full size."""
        if not level:
            return _Content(self.size, self.read)
        return _Content.of(resize(reduced_by(2**level, self.read, self.size), halved_size(*self.size, level)))

    def _first(self, content: _Content, style: Statistics, strength: float) -> Tensor:
        """The initial image at the coarsest stage, or a smaller one, if that stage is more than one region."""
        level = 0
        while len(divide(*halved_size(*content.size, level), self.side, HALO)) > 1:
            level += 1
        small = reduced_by(2**level, content.read, content.size) if level else content.whole()
        return self.method.begin(small.to(self.device), style, strength).cpu()

    def _on_step(self, done: int, step: int, image: Tensor) -> None:
        if self.method.on_step is not None:
            self.method.on_step(done + step, sum(stage.steps for stage in self.method.stages(*self.size)), image)

    def _descend(
        self,
        start: Tensor,
        objective: Objective,
        steps: int,
        on_step: Callable[[int, Tensor], None] = lambda step, image: None,
    ) -> Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            return self.method.descend(start.clone(), objective, steps, on_step)

    def _optimize_regions(
        self,
        draft: Draft,
        content: _Content,
        pieces: Sequence[Piece],
        style: Statistics,
        strength: float,
        stage: Stage,
        progress: Iterator[None],
    ) -> None:
        """Optimises the regions of an image that are not finished, in place."""
        image, pixels = draft.values, content.size[0] * content.size[1]

        def targets(image: Tensor) -> Objective:
            return self.method.objective(image, style, strength, stage.level)

        # What the objective computes of the whole content, and then of the whole image.
        example = probe_image(EXAMPLE).to(self.device)
        known = SharedStatistics(SharedStatistics.of_example(partial(targets, example), EXAMPLE).layouts)

        def objective(piece: Piece) -> Objective:
            part = content.read(piece.box).to(self.device)
            return known.compute(partial(targets, part), piece.core)

        def evaluated(piece: Piece) -> Tensor:
            return objective(piece)(self._part(image, piece))

        def content_runs() -> Iterator[tuple[Callable[[], Objective], Core]]:
            for piece in pieces:
                yield partial(targets, content.read(piece.box).to(self.device)), piece.core

        while known.measure_next(content_runs()):
            pass
        loss = targets(example)
        whole = SharedStatistics(SharedStatistics.of_example(lambda: loss(example), EXAMPLE).layouts)
        while whole.measure_next((partial(evaluated, piece), piece.core) for piece in pieces):
            pass
        for piece in pieces[draft.done :]:
            next(progress)
            whole = self._optimize_region(image, piece, objective(piece), whole, stage.steps, pixels)
            draft.finish_part()

    def _optimize_region(
        self, image: Tensor, piece: Piece, objective: Objective, whole: SharedStatistics, steps: int, pixels: int
    ) -> SharedStatistics:
        """Optimises one region in place; returns the statistics of the whole image afterwards."""
        start, core, weight = self._part(image, piece), seen(piece), fading(piece).to(self.device)
        rest = whole.without(lambda: objective(start), core)
        # A gradient per pixel that does not depend on the number of regions: its scale matters to optimisers.
        factor = pixels / start[0, 0].numel()

        def blended(free: Tensor) -> Tensor:
            return start + weight * (free - start)

        def loss(free: Tensor) -> Tensor:
            return factor * rest.compute_joined(lambda: objective(blended(free)), core)

        made = blended(self._descend(start, loss, steps))
        image[..., piece.box.rows, piece.box.columns] = made.cpu()
        return rest.joined(lambda: objective(made), core)

    def _part(self, image: Tensor, piece: Piece) -> Tensor:
        return image[..., piece.box.rows, piece.box.columns].to(self.device, copy=True)


def seen(piece: Piece) -> Core:
    """The part of a region that it changes."""
    size, core = piece.box.within(piece.box), piece.core
    rows, columns = (
        (max(0, start - BLENDED), min(stop + BLENDED, side))
        for (start, stop), side in zip((core.rows, core.columns), (size.bottom, size.right), strict=True)
    )
    return Core(core.size, rows, columns)


def fading(piece: Piece) -> Tensor:
    """How much each pixel of a region may change, ``(h, w)``: 1 in its core, less and less beyond it."""
    rows, columns = (
        (1 - (start - at).clamp(min=0).maximum(at - stop + 1) / BLENDED).clamp(min=0)
        for at, (start, stop) in (
            (torch.arange(side, dtype=torch.float32), span)
            for side, span in zip(piece.core.size, (piece.core.rows, piece.core.columns), strict=True)
        )
    )
    return rows[:, None] * columns


def enlarged_part(image: Tensor, size: tuple[int, int], box: Box) -> Tensor:
    """A part of an image ``(1, 3, h, w)`` that is enlarged to a size, bicubically."""
    if tuple(image.shape[2:]) == size:
        return image[..., box.rows, box.columns]
    y, x = (
        (2 * torch.arange(part.start, part.stop) + 1) / side - 1
        for part, side in zip((box.rows, box.columns), size, strict=True)
    )
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None]
    return F.grid_sample(image, grid, "bicubic", "border", align_corners=False).clamp(0, 1)
