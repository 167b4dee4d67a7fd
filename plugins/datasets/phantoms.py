"""Drawn phantoms: slices of a body as two scanners show them, with lesions whose places are known.

Whether a translator keeps what matters can be measured on them. One that was trained on sets with unequal shares of lesions
learns to remove or to invent them (Cohen et al. 2018, "Distribution matching losses can hallucinate features in medical image
translation").
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from stylekit import StylekitError, hookimpl
from stylekit.errors import suggest

__all__ = ["SCANNERS", "Phantoms", "draw"]

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Scanner:
    """The grey values of one scanner, from 0 to 1."""

    body: float
    organ: float
    vessel: float
    lesion: float


SCANNERS = {"a": Scanner(0.35, 0.5, 0.65, 0.8), "b": Scanner(0.2, 0.45, 0.6, 0.95)}
"""What the scanners show. ``b`` has more contrast; lesions are the brightest in both."""


def draw(
    scanner: str, size: int, *address: int | str, lesions: bool = True, noise: float = 0.02, missing: float = 0.0
) -> Tensor:
    """Draws one slice. It depends only on the arguments, down to the bit; both scanners show the same body.

    Args:
        scanner: one of ``SCANNERS``
        size: side in pixels, 32 to 1024
        address: what the body is drawn from
        lesions: whether there are lesions, one to three
        noise: standard deviation of the noise
        missing: share of the rows that the scanner missed, which are black

    Returns:
        (1, size, size) in [0, 1].
    """
    values, rng = SCANNERS[scanner], random.Random("/".join(map(str, address)))
    position = 2 * (torch.arange(size) + 0.5) / size - 1
    image = torch.zeros(size, size)

    def fill(centres: list[tuple[float, float]], width: float, height: float, turn: float, value: float) -> None:
        """Draws ellipses of one size, with edges of about a pixel."""
        reach = max(width, height) + 2 / size
        x, y = torch.tensor(centres).T
        rows, columns = (
            slice(*torch.searchsorted(position, torch.stack([at.min() - reach, at.max() + reach])).tolist())
            for at in (y, x)
        )
        across, down = position[columns] - x[:, None, None], position[rows, None] - y[:, None, None]
        u = (math.cos(turn) * across + math.sin(turn) * down) / width
        v = (math.cos(turn) * down - math.sin(turn) * across) / height
        cover = (0.5 - (torch.hypot(u, v).amin(0) - 1) * min(width, height) * size / 2).clamp(0, 1)
        image[rows, columns] += cover * (value - image[rows, columns])

    fill([(0, 0)], rng.uniform(0.7, 0.9), rng.uniform(0.6, 0.85), rng.uniform(-0.2, 0.2), values.body)
    organs = []
    for side in (-1, 1):
        x, y = side * rng.uniform(0.3, 0.38), rng.uniform(-0.2, 0.2)
        wide, high = rng.uniform(0.18, 0.26), rng.uniform(0.25, 0.38)
        fill([(x, y)], wide, high, rng.uniform(-0.4, 0.4), values.organ)
        organs.append((x, y, wide, high))
    for _ in range(2):
        path = [(rng.uniform(-0.15, 0.15), rng.uniform(-0.3, 0.3))]
        turn = rng.uniform(0, 2 * math.pi)
        for _ in range(30):
            turn += rng.uniform(-0.3, 0.3)
            path.append((path[-1][0] + 0.02 * math.cos(turn), path[-1][1] + 0.02 * math.sin(turn)))
        radius = rng.uniform(0.025, 0.04)
        fill(path, radius, radius, 0, values.vessel)
    for _ in range(rng.randint(1, 3)):
        x, y, wide, high = rng.choice(organs)
        radius, turn = rng.uniform(0.06, 0.1), rng.uniform(0, 2 * math.pi)
        if lesions:
            fill([(x + 0.5 * wide * math.cos(turn), y + 0.5 * high * math.sin(turn))], radius, radius, 0, values.lesion)
    generator = torch.Generator().manual_seed(random.Random(f"{scanner}/{rng.random()}").getrandbits(60))
    image += noise * torch.randn(size, size, generator=generator)
    image[torch.rand(size, generator=generator) < missing] = 0
    return image.clamp_(0, 1)[None]


class Phantoms(Dataset[dict[str, Tensor]]):
    """Drawn slices of bodies by scanners a (content) and b (style): unpaired for training, paired for testing.

    An item is ``{"content": (channels, size, size), "style": (channels, size, size)}`` in [0, 1]; the channels are equal. In
    the split "train", the two images show different bodies. In "test", they show the same body, and every second has lesions.

    Args:
        size: side in pixels, 32 to 1024
        seed: random seed
        split: "train" or "test"
        lesions: shares of the contents and of the styles that show lesions in the split "train", from 0 to 1
        noise: standard deviation of the noise, from 0 to 1
        missing: share of the rows that a scanner missed, which are black, from 0 to 1
        channels: number of channels
        length: number of items
    """

    item_keys = ("content", "style")

    def __init__(
        self,
        size: int = 64,
        seed: int = 0,
        split: str = "train",
        lesions: tuple[float, float] = (0.5, 0.5),
        noise: float = 0.02,
        missing: float = 0.0,
        channels: int = 3,
        length: int = 1000,
    ) -> None:
        if not 32 <= size <= 1024:
            raise StylekitError(f"Phantoms cannot be drawn with size {size}. Choose a size from 32 to 1024.")
        if split not in SPLITS:
            raise StylekitError(f"The data set 'phantoms' has no split {split!r}. {suggest(split, SPLITS)}")
        for name, shares in {"lesions": lesions, "noise": (noise,), "missing": (missing,)}.items():
            for share in shares:
                if not 0 <= share <= 1:
                    raise StylekitError(f"The option {name!r} of phantoms must be from 0 to 1, not {share}.")
        if channels < 1:
            raise StylekitError(f"The option 'channels' of phantoms must be at least 1, not {channels}.")
        self.size, self.seed, self.split, self.channels, self.length = size, seed, split, channels, length
        self.lesions, self.noise, self.missing, self.paired = tuple(lesions), noise, missing, split == "test"

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not -self.length <= index < self.length:
            raise IndexError(index)
        index %= self.length
        return {key: self._draw(scanner, key, index) for key, scanner in zip(self.item_keys, SCANNERS, strict=True)}

    def _draw(self, scanner: str, key: str, index: int) -> Tensor:
        stream = key if self.split == "train" else self.split
        address = (self.seed, stream, index)
        share = self.lesions[self.item_keys.index(key)]
        ill = index % 2 == 0 if self.split == "test" else random.Random(f"lesions of {address}").random() < share
        image = draw(scanner, self.size, *address, lesions=ill, noise=self.noise, missing=self.missing)
        return image.repeat(self.channels, 1, 1)


@hookimpl
def stylekit_datasets() -> dict[str, type[Phantoms]]:
    return {"phantoms": Phantoms}
