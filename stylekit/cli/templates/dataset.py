"""A data set for stylekit: generated clouds of colour as the content, and clouds with pen hatching as the style."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from stylekit import hookimpl
from stylekit.layers import require_options
from stylekit.seeding import seeded

STYLEKIT_API = 1


class MyStyle(Dataset[dict[str, Tensor]]):
    """Unpaired images: the content is a cloud of colours, the style another cloud with hatching.

    Args:
        size: side of the square images
        seed: random seed
        split: train or test, which have no image in common
        length: number of items
        lines: number of pen lines across an image
    """

    item_keys = ("content", "style")

    def __init__(
        self, size: int = 64, seed: int = 0, split: str = "train", length: int = 1000, lines: int = 16
    ) -> None:
        require_options(size=size, length=length, lines=lines)
        self.size, self.seed, self.split, self.length, self.lines = size, seed, split, length, lines

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Draws two images ``(3, size, size)`` in [0, 1]; the same index always returns the same images."""
        if not 0 <= index < self.length:
            raise IndexError(index)
        with seeded("my-style", self.seed, self.split, index):
            return {"content": self.cloud(), "style": self.hatched(self.cloud())}

    def cloud(self) -> Tensor:
        """Smooth colours ``(3, size, size)``."""
        return F.interpolate(torch.rand(1, 3, 5, 5), (self.size, self.size), mode="bicubic").clamp(0, 1)[0]

    def hatched(self, image: Tensor) -> Tensor:
        """The image with dark lines in one direction, which are wider where the image is darker."""
        angle = math.pi * float(torch.rand(()))
        position = torch.arange(self.size) / self.size
        waves = torch.sin(2 * math.pi * self.lines * (position[:, None] * math.sin(angle) + position * math.cos(angle)))
        ink = waves / 2 + 0.5 > image.mean(0)
        return image * torch.where(ink, 0.3, 1.0)


@hookimpl
def stylekit_datasets() -> dict[str, type[MyStyle]]:
    return {"my-style": MyStyle}
