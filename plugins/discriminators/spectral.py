"""Discriminators under spectral normalisation (Miyato et al. 2018): each layer's largest singular value is held at one.

The singular value is torch's own estimate by power iteration, whose vectors are buffers: a resumed run goes on exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from stylekit import hookimpl
from stylekit.layers import require_options


class PatchSN(nn.Module):
    """PatchGAN with spectral instead of instance normalisation, every layer.

    Args:
        layers: steps down (3: patches of 70 pixels)
        width: channels of the first layer
        channels: channels of the pictures
    """

    def __init__(self, layers: int = 3, width: int = 64, channels: int = 3) -> None:
        super().__init__()
        self.sample_independent = True
        require_options(layers=layers, width=width, channels=channels)
        self.min_size = 3 * 2**layers
        widths = [channels, *(width * min(2**step, 8) for step in range(layers + 1))]
        stack: list[nn.Module] = []
        for step, (before, after) in enumerate(pairwise(widths)):
            stride = 2 if step < layers else 1
            stack += [spectral_norm(nn.Conv2d(before, after, 4, stride, padding=1)), nn.LeakyReLU(0.2, inplace=True)]
        self.model = nn.Sequential(*stack, spectral_norm(nn.Conv2d(widths[-1], 1, 4, padding=1)))

    def forward(self, image: Tensor) -> Tensor:
        """Scores ``(N, C, H, W)`` in [0, 1] as raw numbers ``(N, 1, H', W')``."""
        scores: Tensor = self.model(image * 2 - 1)
        return scores


class MultiscaleSN(nn.Module):
    """The same kind of PatchGAN at several scales of the picture (Wang et al. 2018, section 3.2).

    Args:
        scales: how many; each sees the picture at half the size of the one before
        layers: steps down of each
        width: channels of the first layer of each
        channels: channels of the pictures
    """

    def __init__(self, scales: int = 2, layers: int = 3, width: int = 64, channels: int = 3) -> None:
        super().__init__()
        self.sample_independent = True
        require_options(scales=scales)
        self.judges = nn.ModuleList(PatchSN(layers, width, channels) for _ in range(scales))
        self.min_size = 3 * 2 ** (layers + scales - 1)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Scores ``(N, C, H, W)`` in [0, 1] as one map ``(N, 1, H', W')`` a scale, the finest first."""
        scores = []
        for scale, judge in enumerate(self.judges):
            image = F.avg_pool2d(image, 3, stride=2, padding=1, count_include_pad=False) if scale else image
            scores.append(judge(image))
        return scores


class _Block(nn.Module):
    """Residual block that halves the sides (Gulrajani et al. 2017, appendix F)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.wide = spectral_norm(nn.Conv2d(before, after, 3, padding=1))
        self.deep = spectral_norm(nn.Conv2d(after, after, 3, padding=1))
        self.skip = spectral_norm(nn.Conv2d(before, after, 1))

    def forward(self, x: Tensor) -> Tensor:
        deep: Tensor = self.deep(F.relu(self.wide(F.relu(x))))
        out: Tensor = F.avg_pool2d(deep, 2) + self.skip(F.avg_pool2d(x, 2))
        return out


class ResNetSN(nn.Module):
    """Residual discriminator with one score a picture (Miyato et al. 2018, appendix B.4, without classes).

    Args:
        blocks: residual blocks, each of which halves the sides
        width: channels of the first block; they double up to eight times as many
        channels: channels of the pictures
    """

    def __init__(self, blocks: int = 4, width: int = 64, channels: int = 3) -> None:
        super().__init__()
        self.sample_independent = True
        require_options(blocks=blocks, width=width, channels=channels)
        self.min_size = 2**blocks
        widths = [width * min(2**step, 8) for step in range(blocks)]
        self.first = spectral_norm(nn.Conv2d(channels, width, 3, padding=1))
        self.blocks = nn.Sequential(*(_Block(a, b) for a, b in pairwise([width, *widths])))
        self.score = spectral_norm(nn.Linear(widths[-1], 1))

    def forward(self, image: Tensor) -> Tensor:
        """Scores ``(N, C, H, W)`` in [0, 1] as raw numbers ``(N, 1)``."""
        features = F.relu(self.blocks(self.first(image * 2 - 1)))
        scores: Tensor = self.score(torch.mean(features, dim=(2, 3)))
        return scores


@hookimpl
def stylekit_discriminators() -> dict[str, Callable[..., nn.Module]]:
    return {"patch-sn": PatchSN, "multiscale-sn": MultiscaleSN, "resnet-sn": ResNetSN}
