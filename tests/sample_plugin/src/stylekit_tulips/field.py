"""The data set ``tulip-field``: drawn fields, some under snow and some in bloom."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import Dataset

from stylekit import hookimpl
from stylekit.layers import require_options
from stylekit.seeding import seeded

STYLEKIT_API = 1

SKY, SNOW = (0.75, 0.8, 0.85), (0.95, 0.95, 1.0)
TULIPS = ((0.9, 0.1, 0.2), (1.0, 0.8, 0.1), (0.9, 0.4, 0.7), (0.5, 0.1, 0.5))


class TulipField(Dataset[dict[str, Tensor]]):
    """Unpaired images: the content is a field in winter, the style another field in spring.

    Args:
        size: side of the square images
        seed: another seed gives other fields
        split: train or test, which share no field
        length: how many items there are
    """

    item_keys = ("content", "style")

    def __init__(self, size: int = 64, seed: int = 0, split: str = "train", length: int = 200) -> None:
        require_options(size=size, length=length)
        self.size, self.seed, self.split, self.length = size, seed, split, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Draws two images ``(3, size, size)`` in [0, 1]; one index always gives the same."""
        if not 0 <= index < self.length:
            raise IndexError(index)
        with seeded("tulips", self.seed, self.split, index):
            return {"content": self.field((SNOW,)), "style": self.field(TULIPS)}

    def field(self, colours: tuple[tuple[float, ...], ...]) -> Tensor:
        """Rows in random ones of these colours, under the sky."""
        rows = torch.arange(self.size) * 12 // self.size
        horizon = int(torch.randint(3, 8, ()))
        planted = torch.tensor(colours)[torch.randint(len(colours), (12,))]
        planted[:horizon] = torch.tensor(SKY)
        image = planted[rows].T[:, :, None] + 0.08 * torch.randn(1, self.size, self.size)
        return image.clamp(0, 1)


@hookimpl
def stylekit_datasets() -> dict[str, type[TulipField]]:
    return {"tulip-field": TulipField}
