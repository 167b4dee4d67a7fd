"""Generators that draw an image from a random code: those of DCGAN, SNGAN and R3GAN, small enough for a CPU."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit.layers import PlainResidual, SelfAttention, init_normal, widths_by_scale

Network = Literal["dc", "resnet", "r3"]
START = 4
"""Side of the first features."""
ATTENDED = 16
"""Side of the features whose positions attend to each other."""


def _attention(wanted: bool, doublings: int, width: int) -> list[nn.Module]:
    """Self-attention, if it is wanted, after so many doublings of the first features that their side is 16."""
    return [SelfAttention(width)] if wanted and START * 2**doublings == ATTENDED else []


class DCGenerator(nn.Module):
    """Transposed convolutions with batch norm and ReLU (Radford et al. 2016).

    Args:
        latent: size of the code
        side: side of the images, a power of two
        width: channels of the last features
        attention: add self-attention at side 16
    """

    def __init__(self, latent: int, side: int, width: int, attention: bool = False) -> None:
        super().__init__()
        widths = widths_by_scale(side, width)
        self.start = nn.ConvTranspose2d(latent, widths[0], START, bias=False)
        stack: list[nn.Module] = [nn.BatchNorm2d(widths[0]), nn.ReLU()]
        for number, (before, after) in enumerate(pairwise(widths), 1):
            up = nn.ConvTranspose2d(before, after, 4, 2, padding=1, bias=False)
            stack += [up, nn.BatchNorm2d(after), nn.ReLU(), *_attention(attention, number, after)]
        self.body = nn.Sequential(*stack, nn.Conv2d(widths[-1], 3, 3, padding=1))
        init_normal(self)

    def forward(self, code: Tensor) -> Tensor:
        """Draws images ``(N, 3, side, side)`` in [0, 1] from codes ``(N, latent)``."""
        image: Tensor = torch.sigmoid(2 * self.body(self.start(code[..., None, None])))
        return image


class _Up(nn.Module):
    """A residual block with batch norm that doubles height and width (Miyato et al. 2018, appendix B.4)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.BatchNorm2d(before), nn.BatchNorm2d(after)])
        self.convs = nn.ModuleList([nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1)])
        self.skip = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.convs[0](F.interpolate(F.relu(self.norms[0](x)), scale_factor=2.0))
        out: Tensor = self.convs[1](F.relu(self.norms[1](y))) + self.skip(F.interpolate(x, scale_factor=2.0))
        return out


class ResNetGenerator(nn.Module):
    """Residual blocks with batch norm (Miyato et al. 2018, table 4).

    Args:
        latent: size of the code
        side: side of the images, a power of two
        width: channels of the last features
        attention: add self-attention at side 16
    """

    def __init__(self, latent: int, side: int, width: int, attention: bool = False) -> None:
        super().__init__()
        widths = widths_by_scale(side, width)
        self.start = nn.Linear(latent, widths[0] * START**2)
        stack: list[nn.Module] = []
        for number, (before, after) in enumerate(pairwise(widths), 1):
            stack += [_Up(before, after), *_attention(attention, number, after)]
        self.blocks = nn.Sequential(*stack)
        self.end = nn.Sequential(nn.BatchNorm2d(widths[-1]), nn.ReLU(), nn.Conv2d(widths[-1], 3, 3, padding=1))

    def forward(self, code: Tensor) -> Tensor:
        """Draws images ``(N, 3, side, side)`` in [0, 1] from codes ``(N, latent)``."""
        x = self.start(code).unflatten(1, (-1, START, START))
        image: Tensor = torch.sigmoid(2 * self.end(self.blocks(x)))
        return image


class R3Generator(nn.Module):
    """Residual blocks without normalisation, from a learned constant that the code scales (Huang et al. 2024, "R3GAN").

    Args:
        latent: size of the code
        side: side of the images, a power of two
        width: channels of the last features
        attention: add self-attention at side 16
    """

    def __init__(self, latent: int, side: int, width: int, attention: bool = False) -> None:
        super().__init__()
        widths = widths_by_scale(side, width)
        self.constant = nn.Parameter(torch.randn(1, widths[0], START, START))
        self.start = nn.Linear(latent, widths[0], bias=False)
        self.blocks = nn.ModuleList(PlainResidual(each, depth=len(widths)) for each in widths)
        self.attention = nn.ModuleList(
            nn.Sequential(*_attention(attention, number, each)) for number, each in enumerate(widths)
        )
        self.narrower = nn.ModuleList(nn.Conv2d(before, after, 1, bias=False) for before, after in pairwise(widths))
        self.end = nn.Conv2d(widths[-1], 3, 1)

    def forward(self, code: Tensor) -> Tensor:
        """Draws images ``(N, 3, side, side)`` in [0, 1] from codes ``(N, latent)``."""
        x = self.blocks[0](self.constant * self.start(code)[..., None, None])
        for block, narrower, attention in zip(self.blocks[1:], self.narrower, self.attention[1:], strict=True):
            x = attention(block(F.interpolate(narrower(x), scale_factor=2.0, mode="bilinear")))
        image: Tensor = torch.sigmoid(2 * self.end(x))
        return image


GENERATORS: dict[Network, type[DCGenerator | ResNetGenerator | R3Generator]] = {
    "dc": DCGenerator,
    "resnet": ResNetGenerator,
    "r3": R3Generator,
}
