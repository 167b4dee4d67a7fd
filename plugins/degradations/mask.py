"""Holes in pictures: strokes of a brush (Yu et al. 2019, "Free-form image inpainting with gated convolution") and boxes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from stylekit import StylekitError, hookimpl
from stylekit.hookspecs import Degradation
from stylekit.layers import Count

Kind = Literal["strokes", "boxes"]


class Mask(nn.Module):
    """Makes holes white, as if they were erased. ``restore`` fills them: ``--with hole=FILE``.

    A box has sides of an eighth to a third of the shorter side of the image. A stroke has four to ten straight pieces, each
    of up to a third of that side, and is 3% to 8% of it wide.

    Args:
        kinds: kinds of holes, of which one is drawn for each hole
        holes: largest number of holes; each image has at least one

    Raises:
        StylekitError: there is no kind, or ``holes`` is below 1.
    """

    erases = True

    def __init__(self, kinds: Sequence[Kind] = ("strokes", "boxes"), holes: Count = 4) -> None:
        super().__init__()
        if not kinds or holes < 1:
            raise StylekitError(f"The degradation 'mask' needs a kind and at least one hole, not {kinds} and {holes}.")
        self.kinds, self.holes = tuple(kinds), holes

    def forward(self, image: Tensor) -> Tensor:
        """Makes holes in images ``(N, 3, H, W)`` in [0, 1]."""
        masks = torch.stack([self.mask(*image.shape[2:]) for _ in range(len(image))])
        return image.masked_fill(masks[:, None].to(image.device), 1.0)

    def mask(self, height: int, width: int) -> Tensor:
        """Where the holes of an image are, ``(H, W)``: bool."""
        mask = torch.zeros(height, width, dtype=torch.bool)
        for _ in range(1 + int(torch.randint(self.holes, ()))):
            mask |= KINDS[self.kinds[int(torch.randint(len(self.kinds), ()))]](height, width)
        return mask


def boxes(height: int, width: int) -> Tensor:
    """A box that is anywhere within an image."""
    inside = torch.ones(height, width, dtype=torch.bool)
    for side, shape in ((height, (-1, 1)), (width, (1, -1))):
        length = max(1, round(min(height, width) * uniform(1 / 8, 1 / 3)))
        start = int(torch.randint(side - length + 1, ()))
        at = torch.arange(side).view(shape)
        inside = inside & (at >= start) & (at < start + length)
    return inside


def strokes(height: int, width: int) -> Tensor:
    """A stroke: all points near a line with bends, which starts anywhere."""
    short = min(height, width)
    reach = max(0.5, short * uniform(0.015, 0.04))
    y, x = uniform(0, height - 1), uniform(0, width - 1)
    down, across = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    inside = torch.hypot(down - y, across - x) <= reach
    angle = uniform(0, 2 * math.pi)
    for _ in range(4 + int(torch.randint(7, ()))):
        angle += uniform(-1.2, 1.2)
        length = short * uniform(0.05, 0.33)
        dy, dx = length * math.sin(angle), length * math.cos(angle)
        # The nearest point of a line, from 0 to 1 along it.
        along = (((down - y) * dy + (across - x) * dx) / length**2).clamp(0, 1)
        inside |= torch.hypot(down - y - along * dy, across - x - along * dx) <= reach
        y, x = y + dy, x + dx
    return inside


def uniform(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))


KINDS: dict[str, Callable[[int, int], Tensor]] = {"strokes": strokes, "boxes": boxes}


@hookimpl
def stylekit_degradations() -> dict[str, Callable[..., Degradation]]:
    return {"mask": Mask}
