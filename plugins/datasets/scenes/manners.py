"""The manners in which a scene can be rendered: as a photo or in a painting style."""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from stylekit import StylekitError
from stylekit.errors import suggest
from stylekit_plugins.datasets.scenes.canvas import colour
from stylekit_plugins.datasets.scenes.dabs import dabs

LIGHTNESS = torch.tensor([[0.30, 0.55, 0.15]])


class Palette(NamedTuple):
    """The colour transform of a manner: one smooth function of the colour, the same for all scenes.

    Greys are mapped to colours from ``dark`` through ``middle`` to ``light``. Differences from grey are scaled by
    ``warm`` along blue-yellow and by ``red`` along red-green, and rotated by ``turn`` radians.
    """

    dark: str
    middle: str
    light: str
    warm: float
    red: float
    turn: float

    def __call__(self, rgb: Tensor) -> Tensor:
        """Transforms an image (3, H, W); both are in [0, 1]."""
        weight, dark = _weights(self)
        flat = rgb.flatten(1)
        terms = torch.cat([flat, (LIGHTNESS @ flat).square()])
        return torch.addmm(dark, weight, terms).clamp_(0, 1).view_as(rgb)


@functools.lru_cache(maxsize=16)
def _weights(palette: Palette) -> tuple[Tensor, Tensor]:
    """A matrix (3, 4) for red, green, blue and the squared lightness, and an offset (3, 1)."""
    opponents = torch.tensor([[0.5, 0.5, -1.0], [1.0, -1.0, 0.0]])
    back = torch.linalg.inv(torch.cat([LIGHTNESS, opponents]))[:, 1:]
    sin, cos = math.sin(palette.turn), math.cos(palette.turn)
    turn = torch.tensor([[cos * palette.warm, -sin * palette.red], [sin * palette.warm, cos * palette.red]])
    dark, middle, light = (colour(code)[:, 0] for code in palette[:3])
    # Greys are mapped to a parabola through the three colours; differences from grey are mapped linearly.
    first, second = 4 * middle - 3 * dark - light, 2 * dark - 4 * middle + 2 * light
    return torch.cat([back @ turn @ opponents + first * LIGHTNESS, second], 1), dark


def _grain(like: Tensor, generator: torch.Generator, side: int) -> Tensor:
    """Noise (1, H, W) with standard deviation 1 and grains of ``side`` pixels."""
    height, width = like.shape[1:]
    grid = torch.randn(1, 1, -(-height // side) + 1, -(-width // side) + 1, generator=generator)
    if side > 1:
        grid = F.interpolate(grid, scale_factor=side, mode="bilinear")
    return grid[0, :, :height, :width]


def photo(rgb: Tensor, ink: Tensor, generator: torch.Generator) -> Tensor:
    """A photo: the unchanged colours without contours, with slight vignetting and grain."""
    size = rgb.shape[1]
    fine, coarse = (_grain(rgb, generator, side) for side in (max(1, size // 128), max(2, size // 48)))
    squared = torch.linspace(-1, 1, size).square()
    return rgb * (1.03 - 0.07 * (squared + squared[:, None]) + 0.020 * fine + 0.012 * coarse)


def strokes(rgb: Tensor, ink: Tensor, generator: torch.Generator) -> Tensor:
    """Thick brush strokes along contours, in gold, turquoise and violet, with blue contour lines."""
    size = rgb.shape[1]
    target = Palette("#10184e", "#545c9c", "#ffeca8", 1.5, 1.6, 0.0)(rgb)
    paint, _ = dabs(target, max(2, round(size / 40)), 1.3, 0.42, generator, spread=0.03, gloss=0.08)
    return torch.lerp(target, paint, 0.65).lerp(colour("#181448"), ink * 0.6)


def dots(rgb: Tensor, ink: Tensor, generator: torch.Generator) -> Tensor:
    """Dots of saturated colours on a cream background."""
    size = rgb.shape[1]
    target = Palette("#2a2a6a", "#b89c98", "#fffbe8", 1.6, 1.5, 0.08)(rgb)
    target = target.lerp(colour("#2a2a6a"), ink * 0.4)
    paint, cover = dabs(target, max(2, round(size / 52)), 0.66, 0.66, generator, spread=0.06, gloss=0)
    background = target.lerp(colour("#fff6e2"), 0.45)
    return torch.lerp(target, background.lerp(paint, cover), 0.85)


def outlined(rgb: Tensor, ink: Tensor, generator: torch.Generator) -> Tensor:
    """A woodblock print: few flat tones, dark contours and wood grain."""
    target = Palette("#1a2c58", "#b0a090", "#fff4d4", 1.4, 1.25, 0.0)(rgb)
    tone = target.mean(0) * 5
    level = tone.floor()
    flat = level + ((tone - level - 0.5) * 4 + 0.5).clamp(0, 1)
    target = target * ((flat + 0.15) / (tone + 0.15))
    size = rgb.shape[1]
    wood = _grain(rgb, generator, max(2, size // 40))
    return torch.lerp(target + 0.012 * wood, colour("#141c30"), ink * 0.9)


def watercolour(rgb: Tensor, ink: Tensor, generator: torch.Generator) -> Tensor:
    """A watercolour: thin uneven washes on rough paper, over a pencil drawing."""
    size = rgb.shape[1]
    target = Palette("#3c4a78", "#c8c0b8", "#fffdf6", 1.25, 1.35, 0.1)(rgb)
    soft = F.avg_pool2d(target, 3, 1, 1, count_include_pad=False)
    pools, paper = (_grain(rgb, generator, side) for side in (max(4, size // 10), max(1, size // 128)))
    wash = 1 - (1 - soft) * (1 + 0.08 * pools + 0.06 * paper)
    return torch.lerp(wash, colour("#4a4a62"), ink * 0.55)


MANNERS: Mapping[str, Callable[[Tensor, Tensor, torch.Generator], Tensor]] = {
    "photo": photo,
    "strokes": strokes,
    "dots": dots,
    "outlined": outlined,
    "watercolour": watercolour,
}
"""All manners by name: functions of a drawing (3, S, S), its contours (S, S) and a generator that return an image."""


def require_drawable(size: int, *manners: str) -> None:
    """Raises an error for a size or a manner that is not supported."""
    if not 32 <= size <= 1024:
        raise StylekitError(f"Scenes cannot be drawn with size {size}. Choose a size from 32 to 1024.")
    for manner in manners:
        if manner not in MANNERS:
            raise StylekitError(f"The data set 'scenes' has no manner {manner!r}. {suggest(manner, MANNERS)}")


def rendered(rgb: Tensor, ink: Tensor, manner: str, address: str) -> Tensor:
    """A drawing (3, S, S) in a manner, roughly in [0, 1]. Its texture has random numbers of its own, from the address of the
    scene, so that it differs between manners and between scenes."""
    texture = torch.Generator().manual_seed(random.Random(f"{address}/{manner}").getrandbits(60))
    return MANNERS[manner](rgb, ink, texture)
