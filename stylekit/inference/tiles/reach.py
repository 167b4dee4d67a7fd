"""How far the pixels that a method looks at are away from those that it computes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from stylekit.errors import StylekitError
from stylekit.inference.memory import probe_image
from stylekit.inference.tiles.statistics import ALIGN, Core, SharedStatistics

SIDES = (512, 1024)
"""Sides of the images on which the reach is measured."""
FAINT = 1e-4
"""Changes below this are not seen, even if those of many pixels are added."""
SHIFTED = 2e-3
"""The largest change, half a level of 255, by which an image may depend on where its pieces begin."""


def measure_reach(
    stylize: Callable[[Tensor], Tensor], scale: int, what: str, channels: int = 3
) -> tuple[int, SharedStatistics]:
    """Measures how far the output at a pixel depends on the input, if the statistics of the whole image are given.

    Args:
        stylize: accepts images ``(1, C, H, W)`` in [0, 1], and returns them with the sides multiplied by ``scale``
        scale: that factor
        what: the method, for the message
        channels: channels of the images

    Returns:
        the reach in pixels, rounded up to a multiple of ``ALIGN``, and the statistics of an example

    Raises:
        StylekitError: the output depends on the whole image in other ways, as with attention, or on the position.
    """
    for side in SIDES:
        image, core = 0.25 + 0.5 * probe_image(side, channels), Core.whole(side, side)
        statistics = SharedStatistics.of_example(partial(stylize, image), side)
        start, changed = side // 2, image.clone()
        changed[..., start : start + ALIGN, start : start + ALIGN].neg_().add_(1)
        before, after = (statistics.compute(partial(stylize, each), core) for each in (image, changed))
        different = ((after - before).abs().amax((0, 1)) > FAINT).nonzero() // scale
        first, last = (
            (int(each) for each in (different.min(), different.max() + 1)) if len(different) else (start, start)
        )
        reach = max(0, start - first, last - start - ALIGN)
        if reach < side // 2 - 2 * ALIGN:
            reach = -(-reach // ALIGN) * ALIGN
            _require_same(stylize, image, before, statistics, reach * scale, scale, what)
            return reach, statistics
    raise StylekitError(
        f"The {what} cannot stylise an image in tiles: each pixel depends on pixels that are more than {SIDES[-1] // 2} away. "
        "Allow more memory, or make the image smaller."
    )


def _require_same(
    stylize: Callable[[Tensor], Tensor],
    image: Tensor,
    whole: Tensor,
    statistics: SharedStatistics,
    margin: int,
    scale: int,
    what: str,
) -> None:
    """Checks that an image without its first rows and columns is stylised in the same way."""
    side = image.shape[3] - ALIGN
    part = statistics.compute(partial(stylize, image[..., ALIGN:, ALIGN:]), Core.whole(side, side))
    difference = (part - whole[..., ALIGN * scale :, ALIGN * scale :])[..., margin:, margin:].abs().amax()
    if float(difference) > SHIFTED:
        raise StylekitError(
            f"The {what} cannot stylise an image in tiles: what it does at a pixel depends on where in the image it is."
        )
