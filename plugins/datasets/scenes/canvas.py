"""What scenes are drawn on: layers with antialiased borders, contours that follow them, and smooth noise."""

from __future__ import annotations

import copy
import functools
import math
import random
from collections.abc import Sequence

import torch
from torch import Tensor

Box = tuple[float, float, float, float]
"""Left, top, right and bottom of a window, in its own unit and from its own origin."""

Paint = str | Tensor
"""A colour: ``"#rrggbb"``, or a tensor that broadcasts to (3, H, W)."""


@functools.lru_cache(maxsize=512)
def colour(code: str) -> Tensor:
    """``"#rrggbb"`` as (3, 1, 1) in [0, 1]."""
    return torch.tensor(list(bytes.fromhex(code[1:]))).view(3, 1, 1) / 255


def mix(first: Paint, second: Paint, amount: float | Tensor) -> Tensor:
    """From the first colour (amount 0) to the second (amount 1); an amount (H, W) gives (3, H, W)."""
    if isinstance(first, str) and isinstance(second, str) and isinstance(amount, (int, float)):
        return _blend(first, second, amount)
    first, second = (colour(paint) if isinstance(paint, str) else paint for paint in (first, second))
    return first + (second - first) * amount


@functools.lru_cache(maxsize=512)
def _blend(first: str, second: str, amount: float) -> Tensor:
    return torch.lerp(colour(first), colour(second), amount)


def step(low: float, high: float, value: Tensor) -> Tensor:
    """Goes smoothly from 0 at ``low`` to 1 at ``high``, which may be the smaller."""
    t = ((value - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


@functools.lru_cache(maxsize=32)
def _waves(size: int, count: int) -> Tensor:
    """(size, count): the waves that noise is made of, sampled at the pixels of one side."""
    place = (torch.arange(size) + 0.5) / size
    number = torch.arange(count)
    return torch.cos(math.pi * place[:, None] * number + 2.4 * number)


class Canvas:
    """A square picture in the making, or a window of it with its own unit of length.

    ``x`` and ``y`` are the pixels' places in that unit, y downwards, and broadcast to (H, W). Shapes are
    given as signed distances (H, W) in it, negative inside. ``rgb`` (3, H, W) and the contours ``ink`` (H, W)
    are in [0, 1]; ``rough`` (H, W) is a fine noise, about -1 to 1, to roughen whatever is drawn. Light comes
    from the right if ``side`` is 1, from the left if it is -1.

    Args:
        size: The picture's side in pixels.
        rng: Where the scene's random numbers come from.
    """

    def __init__(self, size: int, rng: random.Random) -> None:
        self.rng = rng
        self._generator = torch.Generator().manual_seed(rng.getrandbits(60))
        self.side = rng.choice((-1, 1))
        self._size = size
        self._corner = (0.0, 0.0)
        self._things, self._which = 1, torch.zeros(1, dtype=torch.long)
        place = (torch.arange(size) + 0.5) / size
        self.x, self.y = place[None, :], place[:, None]
        self.pixel: float | Tensor = 1 / size
        self.pen = max(0.9, 0.006 * size)
        self.rgb = torch.zeros(3, size, size)
        self.ink = torch.zeros(size, size)
        self.rough = self.noise(80, 1.1, finest=8)

    def noise(self, count: int, fall: float, stretch: float = 1, finest: float = 1) -> Tensor:
        """(H, W), about -1 to 1: ``count`` waves a side, weaker by the power ``fall`` of their frequency.

        Args:
            count: How many frequencies.
            fall: The larger, the smoother.
            stretch: How much wider than high the shapes are.
            finest: The frequency from which waves weaken.
        """
        number = torch.arange(count, dtype=torch.float32)
        strength: Tensor = (finest**2 + (number * stretch) ** 2 + number[:, None] ** 2) ** (-fall / 2 - 0.5)
        weight = strength * torch.randn(count, count, generator=self._generator)
        weight[0, 0] = 0
        waves = _waves(self._size, count)
        noise: Tensor = waves @ (weight * (0.9 / strength.norm())) @ waves.T
        return noise

    def profile(self, count: int, fall: float) -> Tensor:
        """(W,), about -1 to 1: the noise of a line, for ridges."""
        strength: Tensor = (1 + torch.arange(count, dtype=torch.float32)) ** -fall
        strength[0] = 0
        weight = strength * torch.randn(count, generator=self._generator)
        noise: Tensor = _waves(self._size, count) @ (weight / strength.norm())
        return noise

    def table(self, count: int) -> Tensor:
        """(count,) numbers in [0, 1)."""
        return torch.rand(count, generator=self._generator)

    def each(self, low: float = 0, high: float = 1) -> Tensor:
        """A random number for each thing of a row, (W,), or for the one thing of a window, (1,)."""
        return (low + (high - low) * self.table(self._things))[self._which]

    def any_of(self, codes: Sequence[str]) -> Tensor:
        """A random colour for each thing of a row, (3, 1, W), or for the one thing of a window, (3, 1, 1)."""
        choice = (self.table(self._things) * len(codes)).long()[self._which]
        return torch.cat([colour(code) for code in codes], 2)[:, :, choice]

    def at(self, x: float, y: float, unit: float, box: Box) -> Canvas:
        """The window ``box`` about a place of the whole picture, in a new unit of length."""
        part = copy.copy(self)
        left, right = self._span(x + box[0] * unit, x + box[2] * unit)
        top, bottom = self._span(y + box[1] * unit, y + box[3] * unit)
        part.x, part.y = (self.x[:, left:right] - x) / unit, (self.y[top:bottom] - y) / unit
        part.rgb, part.ink = self.rgb[:, top:bottom, left:right], self.ink[top:bottom, left:right]
        part.rough = self.rough[top:bottom, left:right]
        part.pixel = 1 / (self._size * unit)
        return part

    def row(self, count: int, foot: Tensor | float, unit: float, box: Box, share: float = 1) -> Canvas:
        """Windows ``box`` side by side, drawn all at once: each thing has its own place and its own unit.

        Args:
            count: How many fit into the picture's width.
            foot: The line on which the things stand, (W,) or level.
            unit: The mean unit of length.
            box: The window in that unit; it is cut where the next thing's begins.
            share: The share of places that are taken.
        """
        start, number = self.rng.random(), torch.arange(count + 1)
        own = unit * (0.75 + 0.5 * self.table(count + 1))
        slack = max(0.0, 1 - count * unit * (box[2] - box[0]) * 0.8)
        middle = (number + 0.5 + slack * (self.table(count + 1) - 0.5) - start) / count
        line = torch.as_tensor(foot).expand(self._size)
        ground = line[(middle * self._size).long().clamp(0, self._size - 1)]
        away = (self.table(count + 1) > share) * 99.0
        which = (self.x[0] * count + start).long()
        top, bottom = self._span(float(ground.min()) + box[1] * 1.25 * unit, float(ground.max()) + box[3] * 1.25 * unit)
        part = copy.copy(self)
        part.x = (self.x - middle[which]) / own[which] + away[which]
        part.y = (self.y[top:bottom] - ground[which]) / own[which]
        part.rgb, part.ink, part.rough = self.rgb[:, top:bottom], self.ink[top:bottom], self.rough[top:bottom]
        part.pixel = 1 / (self._size * own[which])
        part._things, part._which = count + 1, which
        return part

    def _span(self, low: float, high: float) -> tuple[int, int]:
        """The pixels between two places along a side, as a range."""
        first, last = math.floor(low * self._size), math.ceil(high * self._size)
        return min(max(first, 0), self._size), min(max(last, first, 0), self._size)

    def fill(self, paint: Paint, distance: Tensor, ink: float = 1) -> None:
        """Paints inside a shape, with a contour of strength ``ink`` along its border."""
        pixels = distance / self.pixel
        cover = (0.5 - pixels).clamp_(0, 1)
        self.glaze(paint, cover)
        self.ink.mul_(1 - cover)
        if ink:
            border = (0.5 + self.pen / 2 - pixels.abs_()).clamp_(0, 1).mul_(ink)
            torch.maximum(self.ink, border, out=self.ink)

    def glaze(self, paint: Paint, cover: Tensor) -> None:
        """Blends a colour over the picture where ``cover`` (H, W) in [0, 1] says; contours stay."""
        paint = colour(paint) if isinstance(paint, str) else paint
        self.rgb.lerp_(paint.expand_as(self.rgb), cover.expand_as(self.ink))


def ellipse(x: Tensor, y: Tensor, width: float, height: float) -> Tensor:
    """The signed distance, nearly, to an ellipse about the origin, by its half axes."""
    return ((x / width).square() + (y / height).square()).sqrt_().sub_(1).mul_(min(width, height))


def box(x: Tensor, y: Tensor, left: float, top: float, right: float, bottom: float) -> Tensor:
    """The signed distance, nearly, to an upright rectangle."""
    across = (x - (left + right) / 2).abs() - (right - left) / 2
    return torch.maximum(across, (y - (top + bottom) / 2).abs() - (bottom - top) / 2)


def polygon(x: Tensor, y: Tensor, corners: Sequence[tuple[float, float]]) -> Tensor:
    """The signed distance, nearly, to a convex polygon; its corners go clockwise as seen."""
    sides = []
    for (ax, ay), (bx, by) in zip(corners, [*corners[1:], corners[0]], strict=True):
        length = math.hypot(bx - ax, by - ay)
        sides.append((x - ax) * ((by - ay) / length) - (y - ay) * ((bx - ax) / length))
    return functools.reduce(torch.maximum, sides)
