"""Scenes that the computer draws itself: landscapes and still lifes, as photos and in painting manners.

The same geometry can be shown in every manner, so that an unpaired translation can be scored against truth.
"""

from __future__ import annotations

import random

import torch
from torch import Tensor
from torch.utils.data import Dataset

from stylekit import StylekitError, hookimpl
from stylekit.errors import suggest
from stylekit_plugins.datasets.scenes.canvas import Canvas
from stylekit_plugins.datasets.scenes.kinds import KINDS
from stylekit_plugins.datasets.scenes.manners import MANNERS

__all__ = ["KINDS", "MANNERS", "SPLITS", "Scenes", "render"]

SPLITS = ("train", "test")
KEPT_BYTES = 2**28
"""A data set of scenes that fits into this keeps what it has drawn, a byte a value."""


def render(index: int, manner: str = "photo", size: int = 64, seed: int = 0, stream: str = "test") -> Tensor:
    """Draws one scene; the same arguments give the same bits, and no global random state is touched.

    Args:
        index: The scene's number.
        manner: One of ``MANNERS``.
        size: The side in pixels, 32 to 1024; the scene is the same at every size.
        seed: Another seed, other scenes.
        stream: Another stream, other scenes: ``Scenes`` draws from "content", "style" and "test".

    Returns:
        (3, size, size) in [0, 1], in steps of 1/255.
    """
    _check(size, manner)
    rng = random.Random(f"{seed}/{stream}/{index}")
    with torch.inference_mode():
        canvas = Canvas(size, rng)
        KINDS[rng.choice(list(KINDS))](canvas)
        # Texture has numbers of its own, so that it differs between manners and between scenes.
        texture = torch.Generator().manual_seed(random.Random(f"{seed}/{stream}/{index}/{manner}").getrandbits(60))
        shown = MANNERS[manner](canvas.rgb, canvas.ink, texture).mul_(255).round_().clamp_(0, 255).div_(255)
    image: Tensor = shown.clone()
    return image


def _check(size: int, *manners: str) -> None:
    """Raises for a size or a manner that cannot be drawn."""
    if not 32 <= size <= 1024:
        raise StylekitError(f"Scenes cannot be drawn with size {size}. Choose a size from 32 to 1024.")
    for manner in manners:
        if manner not in MANNERS:
            raise StylekitError(f"There is no manner {manner!r} of showing scenes. {suggest(manner, MANNERS)}")


class Scenes(Dataset[dict[str, Tensor]]):
    """Drawn landscapes and still lifes: unpaired for training, the same scene in both manners for the test.

    An item is ``{"content": (3, size, size), "style": (3, size, size)}`` in [0, 1]. In the split "train" the
    two show different scenes, drawn from streams that share none; in "test" the style is the truth for the
    content.

    Args:
        size: The side in pixels, 32 to 1024.
        seed: Another seed, other scenes.
        split: "train" or "test".
        content: The manner of the content, one of ``MANNERS``.
        style: The manner of the style, one of ``MANNERS``.
        length: How many items there are.
        paired: In the split "train", too, the style is the truth for the content.
    """

    item_keys = ("content", "style")

    def __init__(
        self,
        size: int = 64,
        seed: int = 0,
        split: str = "train",
        content: str = "photo",
        style: str = "strokes",
        length: int = 1000,
        paired: bool = False,
    ) -> None:
        _check(size, content, style)
        if split not in SPLITS:
            raise StylekitError(f"Scenes have no split {split!r}. {suggest(split, SPLITS)}")
        self.size, self.seed, self.length = size, seed, length
        self.manners = (content, style)
        self.streams = ("test", "test") if split == "test" else ("content", "content" if paired else "style")
        self._keeps = 2 * length * 3 * size**2 <= KEPT_BYTES
        self._drawn: dict[tuple[int, str], Tensor] = {}

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not -self.length <= index < self.length:
            raise IndexError(index)
        return {key: self._draw(index % self.length, key) for key in self.item_keys}

    def _draw(self, index: int, key: str) -> Tensor:
        if (index, key) in self._drawn:
            return self._drawn[index, key].float().div_(255)
        which = self.item_keys.index(key)
        image = render(index, self.manners[which], self.size, self.seed, self.streams[which])
        if self._keeps:
            self._drawn[index, key] = image.mul(255).round_().byte()
        return image


@hookimpl
def stylekit_datasets() -> dict[str, type[Scenes]]:
    """The data set, by name."""
    return {"scenes": Scenes}
