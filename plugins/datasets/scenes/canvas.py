"""The drawing surface of scenes: shapes with antialiased borders and contour lines, and smooth noise."""

from __future__ import annotations

import copy
import functools
import math
import random
from collections.abc import Sequence

import torch
from torch import Tensor

Box = tuple[float, float, float, float]
"""Left, top, right and bottom of a window, relative to its origin and in its unit of length."""

Paint = str | Tensor
"""A colour: ``"#rrggbb"``, or a tensor that broadcasts to (3, H, W)."""


@functools.lru_cache(maxsize=512)
def colour(code: str) -> Tensor:
    """``"#rrggbb"`` as (3, 1, 1) in [0, 1]."""
    return torch.tensor(list(bytes.fromhex(code[1:]))).view(3, 1, 1) / 255


def mix(first: Paint, second: Paint, amount: float | Tensor) -> Tensor:
    """Interpolates from the first colour (amount 0) to the second (amount 1); an amount (H, W) returns (3, H, W)."""
    if isinstance(first, str) and isinstance(second, str) and isinstance(amount, (int, float)):
        return _blend(first, second, amount)
    first, second = (colour(paint) if isinstance(paint, str) else paint for paint in (first, second))
    return first + (second - first) * amount


@functools.lru_cache(maxsize=512)
def _blend(first: str, second: str, amount: float) -> Tensor:
    return torch.lerp(colour(first), colour(second), amount)


def step(low: float, high: float, value: Tensor) -> Tensor:
    """A smooth step from 0 at ``low`` to 1 at ``high``, which may be smaller than ``low``."""
    t = ((value - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


@functools.lru_cache(maxsize=32)
def _waves(size: int, count: int) -> Tensor:
    """The basis of the noise, (size, count): cosine waves, sampled at the pixels of one side."""
    position = (torch.arange(size) + 0.5) / size
    number = torch.arange(count)
    return torch.cos(math.pi * position[:, None] * number + 2.4 * number)


class Canvas:
    """A square image to draw on, or a window of it with its own unit of length.

    ``x`` and ``y`` are the pixels' coordinates in that unit, with y downwards; they broadcast to (H, W). Shapes are
    defined by signed distances (H, W), negative inside. ``rgb`` (3, H, W) and the contours ``ink`` (H, W) are in
    [0, 1]; ``rough`` (H, W) is fine noise, about -1 to 1, which gives shapes and colours some irregularity. Light
    comes from the right if ``side`` is 1, from the left if it is -1.

    Args:
        size: side of the image in pixels
        rng: random number generator of the scene
        lift: added to the colours of the background when the front is begun

    Attributes:
        behind: colours and contours of the background, without the front
    """

    def __init__(self, size: int, rng: random.Random, lift: float = 0.0) -> None:
        self.rng = rng
        self._generator = torch.Generator().manual_seed(rng.getrandbits(60))
        self.side = rng.choice((-1, 1))
        self._size = size
        self._corner = (0.0, 0.0)
        self._count, self._which = 1, torch.zeros(1, dtype=torch.long)
        position = (torch.arange(size) + 0.5) / size
        self.x, self.y = position[None, :], position[:, None]
        self.pixel: float | Tensor = 1 / size
        self.pen = max(0.9, 0.006 * size)
        self.rgb = torch.zeros(3, size, size)
        self.ink = torch.zeros(size, size)
        self.behind, self._lift = (self.rgb, self.ink), lift
        self.rough = self.noise(80, 1.1, finest=8)

    def noise(self, count: int, fall: float, stretch: float = 1, finest: float = 1) -> Tensor:
        """Noise (H, W), about -1 to 1: ``count`` waves per side, whose strength falls by a power of the frequency.

        Args:
            count: number of frequencies
            fall: exponent; larger values give smoother noise
            stretch: ratio of width to height of the shapes
            finest: frequency from which the strength falls
        """
        number = torch.arange(count, dtype=torch.float32)
        strength: Tensor = (finest**2 + (number * stretch) ** 2 + number[:, None] ** 2) ** (-fall / 2 - 0.5)
        weight = strength * torch.randn(count, count, generator=self._generator)
        weight[0, 0] = 0
        waves = _waves(self._size, count)
        noise: Tensor = waves @ (weight * (0.9 / strength.norm())) @ waves.T
        return noise

    def profile(self, count: int, fall: float) -> Tensor:
        """One-dimensional noise (W,), about -1 to 1, for ridges."""
        strength: Tensor = (1 + torch.arange(count, dtype=torch.float32)) ** -fall
        strength[0] = 0
        weight = strength * torch.randn(count, generator=self._generator)
        noise: Tensor = _waves(self._size, count) @ (weight / strength.norm())
        return noise

    def table(self, count: int) -> Tensor:
        """Random numbers (count,) in [0, 1)."""
        return torch.rand(count, generator=self._generator)

    def each(self, low: float = 0, high: float = 1) -> Tensor:
        """A random number for each object of a row, (W,), or for the single object of a window, (1,)."""
        return (low + (high - low) * self.table(self._count))[self._which]

    def any_of(self, codes: Sequence[str]) -> Tensor:
        """A random colour for each object of a row, (3, 1, W), or for the single object of a window, (3, 1, 1)."""
        choice = (self.table(self._count) * len(codes)).long()[self._which]
        return torch.cat([colour(code) for code in codes], 2)[:, :, choice]

    def at(self, x: float, y: float, unit: float, box: Box) -> Canvas:
        """The window ``box`` around the point (x, y) of the whole image, with a new unit of length."""
        part = copy.copy(self)
        left, right = self._span(x + box[0] * unit, x + box[2] * unit)
        top, bottom = self._span(y + box[1] * unit, y + box[3] * unit)
        part.x, part.y = (self.x[:, left:right] - x) / unit, (self.y[top:bottom] - y) / unit
        part.rgb, part.ink = self.rgb[:, top:bottom, left:right], self.ink[top:bottom, left:right]
        part.rough = self.rough[top:bottom, left:right]
        part.pixel = 1 / (self._size * unit)
        return part

    def row(self, count: int, foot: Tensor | float, unit: float, box: Box, share: float = 1) -> Canvas:
        """Windows ``box`` side by side, drawn in one pass: each object has its own position and its own unit.

        Args:
            count: number of objects that fit into the image's width
            foot: line on which the objects stand, (W,), or its height
            unit: mean unit of length
            box: window in that unit; it ends where the next object's window starts
            share: share of positions that are occupied
        """
        start, number = self.rng.random(), torch.arange(count + 1)
        units = unit * (0.75 + 0.5 * self.table(count + 1))
        slack = max(0.0, 1 - count * unit * (box[2] - box[0]) * 0.8)
        middle = (number + 0.5 + slack * (self.table(count + 1) - 0.5) - start) / count
        line = torch.as_tensor(foot).expand(self._size)
        ground = line[(middle * self._size).long().clamp(0, self._size - 1)]
        hidden = (self.table(count + 1) > share) * 99.0  # moves unoccupied positions out of their windows
        which = (self.x[0] * count + start).long()
        top, bottom = self._span(float(ground.min()) + box[1] * 1.25 * unit, float(ground.max()) + box[3] * 1.25 * unit)
        part = copy.copy(self)
        part.x = (self.x - middle[which]) / units[which] + hidden[which]
        part.y = (self.y[top:bottom] - ground[which]) / units[which]
        part.rgb, part.ink, part.rough = self.rgb[:, top:bottom], self.ink[top:bottom], self.rough[top:bottom]
        part.pixel = 1 / (self._size * units[which])
        part._count, part._which = count + 1, which
        return part

    def front(self) -> None:
        """Marks what is drawn from here on as closer to the viewer: when a camera moves, it moves more than the rest."""
        self.behind = self.rgb.clone(), self.ink.clone()
        self.rgb += self._lift

    def _span(self, low: float, high: float) -> tuple[int, int]:
        """The range of pixels between two positions along a side."""
        first, last = math.floor(low * self._size), math.ceil(high * self._size)
        return min(max(first, 0), self._size), min(max(last, first, 0), self._size)

    def fill(self, paint: Paint, distance: Tensor, ink: float = 1) -> None:
        """Fills a shape, and draws a contour of strength ``ink`` along its border."""
        pixels = distance / self.pixel
        cover = (0.5 - pixels).clamp_(0, 1)
        self.glaze(paint, cover)
        self.ink.mul_(1 - cover)
        if ink:
            border = (0.5 + self.pen / 2 - pixels.abs_()).clamp_(0, 1).mul_(ink)
            torch.maximum(self.ink, border, out=self.ink)

    def glaze(self, paint: Paint, cover: Tensor) -> None:
        """Blends a colour over the image with the opacity ``cover`` (H, W) in [0, 1]; contours do not change."""
        paint = colour(paint) if isinstance(paint, str) else paint
        self.rgb.lerp_(paint.expand_as(self.rgb), cover.expand_as(self.ink))


def ellipse(x: Tensor, y: Tensor, width: float, height: float) -> Tensor:
    """The approximate signed distance to an ellipse around the origin; ``width`` and ``height`` are its half axes."""
    return ((x / width).square() + (y / height).square()).sqrt_().sub_(1).mul_(min(width, height))


def box(x: Tensor, y: Tensor, left: float, top: float, right: float, bottom: float) -> Tensor:
    """The approximate signed distance to an upright rectangle."""
    across = (x - (left + right) / 2).abs() - (right - left) / 2
    return torch.maximum(across, (y - (top + bottom) / 2).abs() - (bottom - top) / 2)


def polygon(x: Tensor, y: Tensor, corners: Sequence[tuple[float, float]]) -> Tensor:
    """The approximate signed distance to a convex polygon, whose corners are listed clockwise as seen on the image."""
    sides = []
    for (ax, ay), (bx, by) in zip(corners, [*corners[1:], corners[0]], strict=True):
        length = math.hypot(bx - ax, by - ay)
        sides.append((x - ax) * ((by - ay) / length) - (y - ay) * ((bx - ax) / length))
    return functools.reduce(torch.maximum, sides)
