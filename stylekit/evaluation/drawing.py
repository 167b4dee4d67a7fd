"""Images of what happens inside a model: heat maps, marked regions, and channels of features."""

from __future__ import annotations

import matplotlib
import torch
import torch.nn.functional as F
from torch import Tensor

from stylekit.evaluation.explain import Region

CHANNELS, COLUMNS = 16, 4
"""Channels of a layer that are shown, and how many in a row."""


def scaled(values: Tensor) -> Tensor:
    """The values, from 0 for the smallest to 1 for the largest."""
    return (values - values.min()) / (values.max() - values.min()).clamp(min=1e-12)


def heat(values: Tensor, image: Tensor) -> Tensor:
    """Values ``(h, w)`` as colours over a pale image ``(1, 3, H, W)``: ``(3, H, W)``, yellow for the largest."""
    large = F.interpolate(scaled(values)[None, None], image.shape[-2:], mode="bilinear")[0, 0].clamp(0, 1)
    colors = torch.from_numpy(matplotlib.colormaps["inferno"](large.numpy())[..., :3]).permute(2, 0, 1).float()
    return 0.7 * colors + 0.3 * image[0].mean(0, keepdim=True)


def framed(image: Tensor, region: Region) -> Tensor:
    """The image ``(3, H, W)`` with inverted colours along the border of a region."""
    left, top, width, height = region
    border = torch.zeros(image.shape[-2:], dtype=torch.bool)
    border[top : top + height, left : left + width] = True
    border[top + 1 : top + height - 1, left + 1 : left + width - 1] = False
    return torch.where(border, 1 - image.round(), image)


def channels(features: Tensor) -> Tensor:
    """The channels with the largest variance as grey tiles, each from its minimum to its maximum."""
    order = features.flatten(1).var(1, correction=0).argsort(descending=True, stable=True)[:CHANNELS].tolist()
    tiles = [scaled(features[number]).expand(3, -1, -1) for number in order]
    tiles += [torch.ones_like(tiles[0])] * (-len(tiles) % COLUMNS)
    bordered = [F.pad(tile, (1, 1, 1, 1), value=1.0) for tile in tiles]
    rows = [torch.cat(bordered[first : first + COLUMNS], 2) for first in range(0, len(tiles), COLUMNS)]
    return torch.cat(rows, 1)
