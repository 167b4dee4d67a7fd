"""Metrics of bright spots, such as lesions and stars: which are lost or invented."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import hookimpl
from stylekit.hookspecs import Metric


class LostSpots(nn.Module):
    """The share of the reference's bright spots in which the output has no bright pixel: 0 if it has none.

    A spot is a connected region of at least ``smallest`` pixels brighter than ``level``. Its exact shape does not count.

    Args:
        level: what is bright, from 0 to 1, by the mean of the channels
        smallest: pixels of the smallest spot
        against: what outputs are compared with: the true output, or their content
    """

    higher = False

    def __init__(self, level: float = 0.8, smallest: int = 4, against: Literal["truth", "content"] = "truth") -> None:
        super().__init__()
        self.level, self.smallest, self.against = level, smallest, against

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, C, H, W)`` of one size in [0, 1]: ``(N,)``, from 0 to 1."""
        pairs = zip(self._spots(reference), self._bright(output), strict=True)
        return torch.stack([_missed(spots, bright) for spots, bright in pairs]).to(output)

    def _bright(self, image: Tensor) -> Tensor:
        return image.mean(1) > self.level

    def _spots(self, image: Tensor) -> Tensor:
        """The number of the spot that each pixel belongs to, ``(N, H, W)``; 0 for none."""
        labels = regions(self._bright(image))
        for each in labels:
            numbers, counts = each.unique(return_counts=True)
            each[torch.isin(each, numbers[counts < self.smallest])] = 0
        return labels


class InventedSpots(LostSpots):
    """The share of the output's bright spots in which the reference has no bright pixel: 0 if it has none.

    A spot is a connected region of at least ``smallest`` pixels brighter than ``level``.

    Args:
        level: what is bright, from 0 to 1, by the mean of the channels
        smallest: pixels of the smallest spot
        against: what outputs are compared with: the true output, or their content
    """

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, C, H, W)`` of one size in [0, 1]: ``(N,)``, from 0 to 1."""
        return super().forward(reference, output)


def regions(mask: Tensor) -> Tensor:
    """Numbers the connected regions of masks ``(N, H, W)``, in which pixels touch also at corners; 0 outside of them."""
    # Each pixel takes the largest number around it until nothing changes.
    numbers = (1 + torch.arange(mask[0].numel(), device=mask.device)).view_as(mask[0]) * mask
    labels = numbers.double()
    while True:
        spread = F.max_pool2d(labels[:, None], 3, 1, 1)[:, 0] * mask
        if torch.equal(spread, labels):
            return labels.long()
        labels = spread


def _missed(spots: Tensor, bright: Tensor) -> Tensor:
    """The share of the spots ``(H, W)`` without a bright pixel."""
    numbers = spots.unique()
    numbers = numbers[numbers > 0]
    found = torch.isin(numbers, spots[bright])
    return 1 - found.double().mean() if len(numbers) else torch.zeros((), dtype=torch.float64, device=spots.device)


@hookimpl
def stylekit_metrics() -> dict[str, Callable[..., Metric]]:
    return {"invented-spots": InventedSpots, "lost-spots": LostSpots}
