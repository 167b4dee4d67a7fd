"""Statistics that the pieces of an image share: each piece is then computed as if the network saw all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor
from torch.overrides import TorchFunctionMode

from stylekit.errors import StylekitError
from stylekit.inference.tiles.reductions import Measured, find_reduction

Result = TypeVar("Result")
ALIGN = 32
"""Pieces of an image begin at multiples of this, so that networks halve them at the same pixels as the whole image."""


@dataclass(frozen=True)
class Core:
    """The part of a piece that no other piece contains: rows and columns, in pixels of the piece. What surrounds it is there
    only for the networks to see.

    Attributes:
        size: height and width of the piece
        rows: the first row of the core, and the one behind its last
        columns: likewise
    """

    size: tuple[int, int]
    rows: tuple[int, int]
    columns: tuple[int, int]

    @classmethod
    def whole(cls, height: int, width: int) -> Core:
        """The core of a piece that is all core."""
        return cls((height, width), (0, height), (0, width))


@dataclass(frozen=True)
class Layout:
    """How a feature map is related to the image: it has one value for each ``step`` pixels, and a ``margin`` of further ones on
    each side, such as that of a padding."""

    step: float
    margin: int

    @classmethod
    def of(cls, features: Tensor, side: int) -> Layout | None:
        """The layout of features ``(1, C, h, w)`` of an image with that side, a multiple of ``ALIGN``; None if they are not
        those of the image, but the kernels of a convolution, for example."""
        count, least = max(features.shape[2:]), min(features.shape[2:])
        step = 2.0 ** round(math.log2(side / count))
        # Differences of neighbours are fewer by one in their direction.
        if len(features) != 1 or count - least > 1 or step > ALIGN:
            return None
        return cls(step, int(count - side / step) // 2)

    def part(self, features: Tensor, core: Core) -> Tensor:
        """The core's part of the features ``(N, C, h, w)`` of pieces. Where it reaches the end of the piece, and so of the
        image, margins and padding belong to it."""
        rows, columns = (
            slice(
                0 if start == 0 else int(start / self.step) + self.margin,
                count if stop == side else int(stop / self.step) + self.margin,
            )
            for count, side, (start, stop) in zip(features.shape[2:], core.size, (core.rows, core.columns), strict=True)
        )
        return features[:, :, rows, columns]


class _Enough(Exception):
    """The statistic that was wanted has been measured; the rest of the network is not needed."""


class SharedStatistics:
    """The statistics that a network computes of whole feature maps, in the order in which it computes them.

    They are measured on pieces of an image, or on several images, and then used for each piece.

    Args:
        layouts: how the feature maps are related to the image, as :meth:`of_example` finds it
    """

    def __init__(self, layouts: Sequence[Layout | None]) -> None:
        self.layouts = layouts
        self._known: list[Measured | None] = []

    @classmethod
    def of_example(cls, run: Callable[[], Any], side: int) -> SharedStatistics:
        """Measures the statistics of an image with that side, a multiple of ``ALIGN``, and finds the layouts."""
        layouts: list[Layout | None] = []
        example = cls(layouts)
        with _Sharing(example._known, layouts, Core.whole(side, side), example._known.append, learn=True):
            run()
        return example

    def __len__(self) -> int:
        return sum(layout is not None for layout in self.layouts)

    def measure_together(self, run: Callable[[], Any], core: Core) -> None:
        """Measures all statistics in one run with a batch of pieces of one size, which are seen as one map.

        Args:
            run: computes the batch
            core: the core of each of the pieces
        """
        with _Sharing(self._known, self.layouts, core, self._known.append):
            run()

    def measure_next(self, runs: Iterable[tuple[Callable[[], Any], Core]]) -> bool:
        """Measures the next statistic over all pieces, given those that are known; returns whether there was one.

        Args:
            runs: what computes each piece, and its core
        """
        found: Any = None
        measured: list[Measured] = []

        def stop(value: Measured) -> None:
            measured.append(value)
            raise _Enough

        for run, core in runs:
            try:
                with _Sharing(self._known, self.layouts, core, stop):
                    run()
            except _Enough:
                value = measured.pop()
                found = value if found is None else found.merged(value)
            else:
                return False
        self._known.append(found)
        return True

    def compute(self, run: Callable[[], Result], core: Core) -> Result:
        """Computes a piece with the statistics that were measured.

        Args:
            run: computes the piece
            core: its core

        Raises:
            StylekitError: the networks need other statistics.
        """
        with _Sharing(self._known, self.layouts, core, _unknown):
            return run()

    def without(self, run: Callable[[], Any], core: Core) -> SharedStatistics:
        """The statistics of the image without a piece, given those of all of it.

        Args:
            run: computes the piece
            core: the part of it to leave out, which may overlap with others
        """
        own = self._observed(run, core, lambda known, own: known)
        return self._changed(lambda known, number: known.without(own[number]))

    def joined(self, run: Callable[[], Any], core: Core) -> SharedStatistics:
        """The statistics of the image, given those :meth:`without` a piece."""
        own = self._observed(run, core, lambda known, own: known.merged(own))
        return self._changed(lambda known, number: known.merged(own[number]))

    def compute_joined(self, run: Callable[[], Result], core: Core) -> Result:
        """Computes a piece, given the statistics :meth:`without` it: those of the image follow what it is now, with gradients.

        Args:
            run: computes the piece
            core: the part of it that was left out
        """
        with _Sharing(self._known, self.layouts, core, _unknown, use=lambda number, known, own: known.merged(own)):
            return run()

    def _observed(self, run: Callable[[], Any], core: Core, use: Callable[[Any, Any], Measured]) -> dict[int, Any]:
        """What is measured of a piece, by the number of the statistic, when it is computed with what ``use`` returns."""
        own: dict[int, Any] = {}

        def observe(number: int, known: Any, measured: Any) -> Measured:
            own[number] = measured
            return use(known, measured)

        with _Sharing(self._known, self.layouts, core, _unknown, use=observe):
            run()
        return own

    def _changed(self, change: Callable[[Any, int], Measured]) -> SharedStatistics:
        other = SharedStatistics(self.layouts)
        other._known = [known and change(known, number) for number, known in enumerate(self._known)]
        return other


def _unknown(value: Measured) -> None:
    raise StylekitError(
        "The method computes other statistics for some pieces of an image than for others, so it cannot stylise an image in "
        "tiles."
    )


class _Sharing(TorchFunctionMode):
    """Replaces the results of reductions, in their order, by those of known measurements.

    Args:
        known: the known measurements; None for reductions of something else than the image
        layouts: how the feature maps are related to the image, likewise
        core: the core of the piece
        measured: called with the measurement of a reduction that is not known
        learn: find the layouts
        use: returns what is used, given the number of a reduction, its known measurement and that of the piece; by default,
            the known one
    """

    def __init__(
        self,
        known: list[Measured | None],
        layouts: Any,
        core: Core,
        measured: Callable[[Measured], None],
        learn: bool = False,
        use: Callable[[int, Any, Any], Measured] | None = None,
    ) -> None:
        super().__init__()
        self.use = use
        self.known, self.layouts, self.core, self.measured, self.learn = known, layouts, core, measured, learn
        self.number = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        reduction = find_reduction(func, args, kwargs or {})
        if reduction is None:
            return func(*args, **(kwargs or {}))
        if self.learn:
            self.layouts.append(Layout.of(reduction.x, self.core.size[0]))
        layout = self.layouts[self.number] if self.number < len(self.layouts) else None
        if self.number == len(self.known):
            if layout is None:
                self.known.append(None)
            else:
                self.measured(reduction.measure(layout.part(reduction.x, self.core)))
        known = self.known[self.number]
        if self.use and known is not None and layout is not None:
            known = self.use(self.number, known, reduction.measure(layout.part(reduction.x, self.core)))
        self.number += 1
        return func(*args, **(kwargs or {})) if known is None else reduction.result(known)
