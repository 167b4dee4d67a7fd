"""Procedural textures with random palettes: style images for training without real images.

Networks learn useful features from images of this kind (Baradad et al. 2021, "Learning to see by looking at noise"). The
images should be structured and as varied as natural images.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from stylekit import StylekitError, hookimpl
from stylekit.errors import suggest

__all__ = ["KINDS", "Textures", "draw"]


@dataclass(frozen=True)
class Sheet:
    """The drawing surface of a texture: pixel coordinates ``x`` (1, W) and ``y`` (H, 1) in [0, 1), and its random number
    generators."""

    size: int
    rng: random.Random
    generator: torch.Generator
    x: Tensor
    y: Tensor

    def randn(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator)

    def rand(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator)

    def noise(self, count: int, fall: float, stretch: float = 1.0) -> Tensor:
        """Noise (count, H, W) with mean 0 and standard deviation 1, whose spectrum falls with ``frequency ** -fall``."""
        rows = torch.fft.fftfreq(self.size)[:, None] * self.size
        columns = torch.fft.rfftfreq(self.size)[None] * self.size * stretch
        strength = (rows.square() + columns.square()).clamp(min=1) ** (-fall / 2)
        strength[0, 0] = 0
        waves = torch.complex(self.randn(count, *strength.shape), self.randn(count, *strength.shape))
        field: Tensor = torch.fft.irfft2(waves * strength, s=(self.size, self.size))
        return field / field.std((1, 2), keepdim=True).clamp(min=1e-6)

    def palette(self) -> Tensor:
        """A palette (K, 3) of matching colours, from dark to light or shuffled: similar hues, sometimes a contrasting one."""
        count = self.rng.randint(3, 7)
        hue = self.rng.random() + self.rng.choice((0.04, 0.1, 0.25)) * self.randn(count)
        hue[self.rng.randrange(count)] += self.rng.choice((0.0, 0.33, 0.5))
        saturation = (self.rng.uniform(0.1, 0.8) + 0.2 * self.randn(count)).clamp(0, 1)
        value = torch.linspace(self.rng.uniform(0.02, 0.4), self.rng.uniform(0.75, 1.0), count)
        value = value + 0.08 * self.randn(count)
        colours = _from_hsv(hue % 1, saturation, value.clamp(0, 1))
        return colours[torch.randperm(count, generator=self.generator)] if self.rng.random() < 0.5 else colours

    def coloured(self, field: Tensor, palette: Tensor) -> Tensor:
        """Maps a field (H, W) of any range to colours (3, H, W) by its ranks, so that all of the palette is used equally."""
        positions = field.flatten().argsort().argsort().view_as(field) * ((len(palette) - 1) / field.numel())
        low = positions.long().clamp(max=len(palette) - 2)
        return torch.lerp(palette[low], palette[low + 1], (positions - low)[..., None]).permute(2, 0, 1)


def _from_hsv(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    sector = (hue[:, None] * 6 + torch.tensor([5.0, 3.0, 1.0])) % 6
    return value[:, None] * (1 - saturation[:, None] * torch.minimum(sector, 4 - sector).clamp(0, 1))


def clouds(sheet: Sheet) -> Tensor:
    """Fractal noise: one field mapped through a palette, or three colour channels with a random correlation."""
    fall, stretch = sheet.rng.uniform(0.8, 2.2), math.exp(sheet.rng.gauss(0, 0.7))
    if sheet.rng.random() < 0.6:
        return sheet.coloured(sheet.noise(1, fall, stretch)[0], sheet.palette())
    mixing = sheet.randn(3, 3) * 0.25 + sheet.rng.uniform(0, 0.8)
    field = torch.einsum("ij,jhw->ihw", mixing, sheet.noise(3, fall, stretch)) * 0.15
    return (field + sheet.palette()[0][:, None, None]).clamp(0, 1)


def stripes(sheet: Sheet) -> Tensor:
    """Stripes, checks and rings, straight or distorted, soft or sharp."""
    angle, frequency = sheet.rng.uniform(0, math.pi), sheet.rng.uniform(3, 24)
    bend = sheet.rng.choice((0.0, 0.3, 1.0)) * sheet.noise(2, 2.5)
    u = math.cos(angle) * sheet.x + math.sin(angle) * sheet.y
    v = -math.sin(angle) * sheet.x + math.cos(angle) * sheet.y
    kind = sheet.rng.choice(("stripes", "checks", "rings"))
    if kind == "rings":
        u = ((sheet.x - sheet.rng.random()).square() + (sheet.y - sheet.rng.random()).square()).sqrt()
    wave = (2 * math.pi * frequency * u + bend[0]).sin()
    if kind == "checks":
        wave = wave * (2 * math.pi * frequency * sheet.rng.uniform(0.5, 1.5) * v + bend[1]).sin()
    sharp = sheet.rng.uniform(0.7, 8)
    return sheet.coloured(
        (sharp * wave).tanh() + sheet.rng.choice((0.02, 0.2)) * sheet.noise(1, 1.2)[0], sheet.palette()
    )


def cells(sheet: Sheet) -> Tensor:
    """Voronoi cells, like stained glass, scales or cracked earth, with dark, light or no borders."""
    count = int(math.exp(sheet.rng.uniform(math.log(12), math.log(220))))
    points = sheet.rand(count, 2)
    pixels = torch.stack([sheet.x.expand(sheet.size, -1), sheet.y.expand(-1, sheet.size)], -1).flatten(0, 1)
    pixels = pixels + sheet.rng.choice((0.0, 0.01, 0.03)) * sheet.noise(2, 1.8).flatten(1).T
    near, which = torch.cdist(pixels, points).topk(2, largest=False)
    border = ((near[:, 1] - near[:, 0]) * math.sqrt(count) * sheet.rng.uniform(4, 20)).clamp(0, 1).view(sheet.size, -1)
    palette = sheet.palette()
    colours = palette[torch.randint(len(palette), (count,), generator=sheet.generator)] + 0.06 * sheet.randn(count, 3)
    image = colours[which[:, 0]].T.reshape(3, sheet.size, sheet.size)
    image = image * (1 - sheet.rng.choice((0, 0.3, 0.8)) * (near[:, :1] * math.sqrt(count)).view(1, sheet.size, -1))
    return torch.lerp(palette[0][:, None, None], image, border) if sheet.rng.random() < 0.7 else image


def leaves(sheet: Sheet) -> Tensor:
    """Dead leaves: overlapping discs and squares of all sizes (Lee et al. 2001)."""
    count, small = 260, math.exp(sheet.rng.uniform(math.log(0.008), math.log(0.06)))
    radius = (
        small / (1 - sheet.rand(count) * (1 - (small / 0.35) ** 2)).sqrt()
    )  # the density falls with the third power of the radius
    return _draw_shapes(
        sheet, radius, radius, sheet.rand(count) * math.pi, sheet.rng.choice((1.0, 2.0, 8.0)), flat=True
    )


def strokes(sheet: Sheet) -> Tensor:
    """Brush strokes along a random flow field, in the colours of the image below them."""
    count, width = 420, sheet.rng.uniform(0.012, 0.035)
    length = width * sheet.rng.uniform(2, 7) * (0.6 + sheet.rand(count))
    return _draw_shapes(sheet, length, width * (0.6 + sheet.rand(count)), None, 2.0, flat=False)


def _draw_shapes(
    sheet: Sheet, length: Tensor, width: Tensor, angle: Tensor | None, corner: float, flat: bool
) -> Tensor:
    """Draws overlapping superellipses on a background texture.

    Args:
        sheet: the drawing surface
        length: half the length of each shape
        width: half the width of each shape
        angle: angle of each shape; None: along a random flow field
        corner: exponent of the superellipse (2: an ellipse, 8: nearly a rectangle)
        flat: colour each shape from the palette; otherwise with the background's colour at its centre, with more noise
    """
    ground = sheet.rng.choice((clouds, clouds, stripes))(sheet)
    count = len(length)
    middle = sheet.rand(2, count) * 1.1 - 0.05
    at = (middle * sheet.size).long().clamp(0, sheet.size - 1)
    if angle is None:
        angle = (
            math.pi * (sheet.rng.random() + sheet.rng.choice((0.05, 0.3, 0.8)) * sheet.noise(1, 2.5)[0])[at[1], at[0]]
        )
    palette = sheet.palette()
    shape = ground[:, at[1], at[0]].T
    if flat:
        shape = palette[torch.randint(len(palette), (count,), generator=sheet.generator)]
    shape = shape + 0.07 * sheet.randn(count, 1) + 0.02 * sheet.randn(count, 3)
    small_on_top = sheet.rng.random() < 0.5
    for index in torch.argsort(length * width, descending=True).tolist() if small_on_top else range(count):
        place = (*middle[:, index].tolist(), float(length[index]), float(width[index]), float(angle[index]))
        _draw_shape(ground, sheet, place, corner, shape[index])
    return ground + (0.02 if flat else 0.05) * sheet.noise(1, 0.8)


def _draw_shape(image: Tensor, sheet: Sheet, place: tuple[float, ...], corner: float, colour: Tensor) -> None:
    """Draws one shape onto the image (3, H, W), within its bounding window.

    Args:
        image: the image, modified in place
        sheet: the drawing surface
        place: x and y of the centre, half the length, half the width, and the angle
        corner: exponent of the superellipse
        colour: the colour (3,)
    """
    x, y, length, width, angle = place
    reach = math.hypot(length, width)
    left, right = (min(max(int((x + side * reach) * sheet.size), 0), sheet.size) for side in (-1, 1))
    top, bottom = (min(max(int((y + side * reach) * sheet.size), 0), sheet.size) for side in (-1, 1))
    if left >= right or top >= bottom:
        return
    across, down = sheet.x[:, left:right] - x, sheet.y[top:bottom] - y
    u = (math.cos(angle) * across + math.sin(angle) * down).abs() / length
    v = (math.cos(angle) * down - math.sin(angle) * across).abs() / width
    cover = ((1 - u.pow(corner) - v.pow(corner)) * (0.5 * corner * width * sheet.size) + 0.5).clamp(0, 1)
    window = image[:, top:bottom, left:right]
    window.lerp_(colour[:, None, None].expand_as(window), cover.expand_as(window))


def blocks(sheet: Sheet) -> Tensor:
    """A recursive subdivision into flat blocks of palette colours, with or without lines between them."""
    palette = sheet.palette()
    image = palette[0][:, None, None].repeat(1, sheet.size, sheet.size)
    gap = sheet.rng.choice((0, 0, 1, max(1, sheet.size // 40)))
    ink = palette.amin(0) * 0.3

    def split(left: int, top: int, right: int, bottom: int, depth: int) -> None:
        wide = right - left > bottom - top
        if depth == 0 or min(right - left, bottom - top) < sheet.size // 16:
            image[:, top:bottom, left:right] = ink[:, None, None]
            colour = palette[sheet.rng.randrange(len(palette))] + 0.03 * sheet.randn(3)
            image[:, top + gap : bottom, left + gap : right] = colour[:, None, None]
            return
        share = sheet.rng.uniform(0.25, 0.75)
        cut = int(left + share * (right - left)) if wide else int(top + share * (bottom - top))
        split(left, top, cut if wide else right, bottom if wide else cut, depth - 1)
        split(cut if wide else left, top if wide else cut, right, bottom, depth - 1)

    split(0, 0, sheet.size, sheet.size, sheet.rng.randint(3, 6))
    return image + sheet.rng.choice((0.0, 0.02)) * sheet.noise(1, 0.5)


KINDS: dict[str, Callable[[Sheet], Tensor]] = {
    kind.__name__: kind for kind in (clouds, stripes, cells, leaves, strokes, blocks)
}
"""The kinds of textures, by name."""


def draw(kind: str, size: int, *address: int | str) -> Tensor:
    """Draws one texture (3, size, size) in [0, 1]; the same address gives the same bits."""
    rng = random.Random("/".join(map(str, (kind, *address))))
    position = (torch.arange(size) + 0.5) / size
    generator = torch.Generator().manual_seed(rng.getrandbits(60))
    with torch.inference_mode():
        image = KINDS[kind](Sheet(size, rng, generator, position[None, :], position[:, None]))
    return image.clone().clamp_(0, 1)


class Textures(Dataset[dict[str, Tensor]]):
    """Procedural textures of all kinds with random palettes. Content and style are unrelated, and every texture differs.

    An item is ``{"content": (3, size, size), "style": (3, size, size)}`` in [0, 1]. The splits have no texture in common.

    Args:
        size: side in pixels, 32 to 1024
        seed: random seed
        split: "train" or "test"
        kinds: kinds of textures to draw; all kinds if empty
        length: number of items
    """

    item_keys = ("content", "style")

    def __init__(
        self, size: int = 128, seed: int = 0, split: str = "train", kinds: Sequence[str] = (), length: int = 20_000
    ) -> None:
        if not 32 <= size <= 1024:
            raise StylekitError(f"Textures cannot be drawn with size {size}. Choose a size from 32 to 1024.")
        if split not in ("train", "test"):
            raise StylekitError(f"The data set 'textures' has no split {split!r}. {suggest(split, ('train', 'test'))}")
        for kind in kinds:
            if kind not in KINDS:
                raise StylekitError(f"The data set 'textures' has no kind {kind!r}. {suggest(kind, KINDS)}")
        self.size, self.seed, self.split, self.length = size, seed, split, length
        self.kinds = tuple(kinds) or tuple(KINDS)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not -self.length <= index < self.length:
            raise IndexError(index)
        return {key: self._draw(key, index % self.length) for key in self.item_keys}

    def _draw(self, key: str, index: int) -> Tensor:
        address = (self.seed, self.split, key, index)
        return draw(random.Random(f"kind of {address}").choice(self.kinds), self.size, *address)


@hookimpl
def stylekit_datasets() -> dict[str, type[Textures]]:
    return {"textures": Textures}
