"""Generated scenes: landscapes and still lifes, rendered as photos or in several painting styles ("manners").

The same scene can be rendered in every manner, so that unpaired translation can be compared with the ground truth.
"""

from __future__ import annotations

import random

import torch
from torch import Tensor
from torch.utils.data import Dataset

from stylekit import StylekitError, hookimpl
from stylekit.errors import suggest
from stylekit_plugins.datasets.scenes.canvas import Canvas
from stylekit_plugins.datasets.scenes.clips import Camera, Clip
from stylekit_plugins.datasets.scenes.kinds import KINDS, draw
from stylekit_plugins.datasets.scenes.manners import MANNERS, rendered, require_drawable

__all__ = ["KINDS", "MANNERS", "SPLITS", "Camera", "Clip", "Scenes", "render"]

SPLITS = ("train", "test")
KEPT_BYTES = 2**28
"""A data set of scenes is cached, with one byte per value, if it does not exceed this size."""


def render(index: int, manner: str = "photo", size: int = 64, seed: int = 0, stream: str = "test") -> Tensor:
    """Draws one scene. It depends only on the arguments, down to the bit; the global random state is not used.

    Args:
        index: number of the scene
        manner: one of ``MANNERS``
        size: side in pixels, 32 to 1024; the scene is the same at every size
        seed: random seed
        stream: a further seed: ``Scenes`` uses "content", "style" and "test"

    Returns:
        (3, size, size) in [0, 1], in steps of 1/255.
    """
    require_drawable(size, manner)
    address = f"{seed}/{stream}/{index}"
    with torch.inference_mode():
        canvas = Canvas(size, random.Random(address))
        draw(canvas)
        shown = rendered(canvas.rgb, canvas.ink, manner, address).mul_(255).round_().clamp_(0, 255).div_(255)
    image: Tensor = shown.clone()
    return image


class Scenes(Dataset[dict[str, Tensor]]):
    """Generated landscapes and still lifes: unpaired for training, the same scene in both manners for testing.

    An item is ``{"content": (3, size, size), "style": (3, size, size)}`` in [0, 1]. In the split "train", the two
    images show different scenes, from streams without common scenes. In "test", they show the same scene, so the
    style is the ground truth for the content.

    Args:
        size: side in pixels, 32 to 1024
        seed: random seed
        split: "train" or "test"
        content: manner of the content, one of ``MANNERS``
        style: manner of the style, one of ``MANNERS``
        length: number of items
        paired: whether both images show the same scene in the split "train", too
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
        require_drawable(size, content, style)
        if split not in SPLITS:
            raise StylekitError(f"The data set 'scenes' has no split {split!r}. {suggest(split, SPLITS)}")
        self.size, self.seed, self.length = size, seed, length
        self.manners = (content, style)
        self.paired = paired or split == "test"
        self.streams = ("test", "test") if split == "test" else ("content", "content" if paired else "style")
        self._use_cache = 2 * length * 3 * size**2 <= KEPT_BYTES
        self._cache: dict[tuple[int, str], Tensor] = {}

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not -self.length <= index < self.length:
            raise IndexError(index)
        return {key: self._draw(index % self.length, key) for key in self.item_keys}

    def _draw(self, index: int, key: str) -> Tensor:
        if (index, key) in self._cache:
            return self._cache[index, key].float().div_(255)
        which = self.item_keys.index(key)
        image = render(index, self.manners[which], self.size, self.seed, self.streams[which])
        if self._use_cache:
            self._cache[index, key] = image.mul(255).round_().byte()
        return image


@hookimpl
def stylekit_datasets() -> dict[str, type[Scenes]]:
    return {"scenes": Scenes}
