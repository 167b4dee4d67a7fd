"""The network that predicts colours: a U-Net of convolutions of single channels and pointwise ones."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

STRIDE, REDUCED = 16, 4
"""Sides of the input, as multiples of those of the coarsest features and of the scores."""


def normed(before: int, after: int, side: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution and a batch norm."""
    padding = side // 2 if side % 2 else 0
    return nn.Sequential(
        nn.Conv2d(before, after, side, stride, padding, groups=groups, bias=False), nn.BatchNorm2d(after)
    )


class Block(nn.Module):
    """A 5 x 5 convolution of each channel by itself, and a pointwise network; their result is added.

    Args:
        width: number of channels
        code: length of a code that scales and shifts the channels after the first norm (Dumoulin et al. 2017); 0: none
    """

    def __init__(self, width: int, code: int = 0) -> None:
        super().__init__()
        self.spatial, self.expand = normed(width, width, 5, groups=width), normed(width, 2 * width)
        self.project = normed(2 * width, width)
        self.modulate = nn.Linear(code, 2 * width) if code else None

    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        change = self.spatial(x)
        if self.modulate is not None:
            scale, shift = self.modulate(code)[..., None, None].chunk(2, 1)
            change = change * (1 + scale) + shift
        out: Tensor = x + self.project(F.relu(self.expand(change)))
        return out


class Trunk(nn.Module):
    """From lightness, and perhaps hints, to features of a quarter of the sides, and of half of them.

    Args:
        width: channels at half the sides; two, three and four times as many at the coarser ones
        channels: channels of the input
        code: length of the code for all blocks; 0: none
    """

    def __init__(self, width: int, channels: int, code: int = 0) -> None:
        super().__init__()
        widths = [width, 2 * width, 3 * width, 4 * width]
        self.first = normed(channels, width, 3, stride=2)
        self.encoders = nn.ModuleList(
            nn.ModuleList(Block(each, code) for _ in range(count))
            for each, count in zip(widths, (1, 1, 1, 2), strict=True)
        )
        self.downs = nn.ModuleList(normed(each, each + width, 2, stride=2) for each in widths[:-1])
        self.ups = nn.ModuleList(normed(each + width, each) for each in widths[2:0:-1])
        self.decoders = nn.ModuleList(Block(each, code) for each in widths[2:0:-1])

    def forward(self, given: Tensor, code: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The features ``(N, 2 width, H / 4, W / 4)`` and ``(N, width, H / 2, W / 2)``.

        Args:
            given: the input ``(N, channels, H, W)``; the sides are multiples of 16
            code: ``(N, code)``
        """
        x, skips = F.relu(self.first(given)), list[Tensor]()
        for level, blocks in enumerate(self.encoders):
            x = F.relu(self.downs[level - 1](x)) if level else x
            for block in blocks:  # type: ignore[attr-defined]
                x = block(x, code)
            skips.append(x)
        for up, decoder, skip in zip(self.ups, self.decoders, (skips[2], skips[1]), strict=True):
            x = decoder(F.relu(F.interpolate(up(x), scale_factor=2, mode="bilinear") + skip), code)
        return x, skips[0]


def scorer(width: int, bins: int) -> nn.Sequential:
    """From features of a quarter of the sides to the scores of colours."""
    return nn.Sequential(normed(2 * width, 2 * width), nn.ReLU(), nn.Conv2d(2 * width, bins, 1))


class ColorNet(nn.Module):
    """From lightness and hints to the scores of colours.

    Args:
        width: channels at half the sides
        bins: number of colours
    """

    min_size = 2 * STRIDE

    def __init__(self, width: int, bins: int) -> None:
        super().__init__()
        self.trunk, self.last = Trunk(width, 4), scorer(width, bins)

    def forward(self, given: Tensor) -> Tensor:
        """Scores ``(N, bins, H / 4, W / 4)`` for lightness and hints ``(N, 4, H, W)``, whose sides are multiples of 16."""
        scores: Tensor = self.last(self.trunk(given)[0])
        return scores
