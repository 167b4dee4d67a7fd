"""The networks of StyleGAN2 (Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN")."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit.layers import widths_by_scale

START = 4
"""Side of the first features."""
GAIN = math.sqrt(2)
"""Keeps the variance of features behind a leaky ReLU."""


class ScaledLinear(nn.Module):
    """A linear layer whose weights are scaled when they are used, so that Adam learns equally fast in all layers (Karras et
    al. 2018, section 4.1).

    Args:
        before: input features
        after: output features
        bias: initial value of the bias
        rate: learning rate relative to that of other layers
    """

    def __init__(self, before: int, after: int, bias: float = 0.0, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before) / rate)
        self.bias = nn.Parameter(torch.full((after,), bias / rate))
        self.scale, self.rate = rate / math.sqrt(before), rate

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.rate)


class CodeMapping(nn.Module):
    """Maps codes to styles: both ``(N, latent)``.

    Args:
        latent: size of codes and styles
        layers: number of linear layers
    """

    def __init__(self, latent: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ScaledLinear(latent, latent, rate=0.01) for _ in range(layers))

    def forward(self, codes: Tensor) -> Tensor:
        x = codes * (codes.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.layers:
            x = GAIN * F.leaky_relu(layer(x), 0.2)
        return x


class ModulatedConv(nn.Module):
    """A convolution whose input channels are scaled by a style, and whose weights are then normalised for each output channel.

    Both scales are applied to the features, which equals equations 1 and 3 of the paper, because a convolution is linear.

    Args:
        before: input channels
        after: output channels
        latent: size of the styles
        side: side of the filters, an odd number
        normalize: normalise the scaled weights
    """

    def __init__(self, before: int, after: int, latent: int, side: int = 3, normalize: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before, side, side))
        self.scale = 1 / math.sqrt(before * side**2)
        self.style = ScaledLinear(latent, before, bias=1.0)
        self.normalize = normalize

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Convolves features ``(N, before, H, W)`` with styles ``(N, latent)``."""
        weight, scales = self.weight * self.scale, self.style(style)
        out = F.conv2d(x * scales[:, :, None, None], weight, padding=weight.shape[-1] // 2)
        if self.normalize:
            norms = F.linear(scales.square(), weight.square().sum((2, 3)))
            out = out * (norms + 1e-8).rsqrt()[:, :, None, None]
        return out


class Layer(nn.Module):
    """A modulated convolution, noise, a bias and a leaky ReLU."""

    def __init__(self, before: int, after: int, latent: int) -> None:
        super().__init__()
        self.conv = ModulatedConv(before, after, latent)
        self.bias, self.noise = nn.Parameter(torch.zeros(after, 1, 1)), nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        x = self.conv(x, style)
        noise = torch.randn_like(x[:, :1])
        return GAIN * F.leaky_relu(x + self.noise * noise + self.bias, 0.2)


class Block(nn.Module):
    """Two layers, and the image that they add at their scale; all but the first block double height and width first."""

    def __init__(self, before: int, after: int, latent: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer(before, after, latent), Layer(after, after, latent)])
        self.to_rgb = ModulatedConv(after, 3, latent, side=1, normalize=False)
        self.bias = nn.Parameter(torch.zeros(3, 1, 1))

    def forward(self, x: Tensor, image: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        for layer in self.layers:
            x = layer(x, style)
        return x, image + self.to_rgb(x, style) + self.bias


class Synthesis(nn.Module):
    """Turns styles into images, from a learned constant of 4 x 4 pixels, with one style for each scale.

    Args:
        latent: size of the styles
        side: side of the images, a power of two from 8 on
        width: channels at the finest scale; each coarser one has twice as many, up to eight times
    """

    def __init__(self, latent: int, side: int, width: int) -> None:
        super().__init__()
        widths = widths_by_scale(side, width)
        self.constant = nn.Parameter(torch.randn(1, widths[0], START, START))
        self.blocks = nn.ModuleList(Block(*pair, latent) for pair in pairwise([widths[0], *widths]))

    def forward(self, styles: Tensor) -> Tensor:
        """Draws images ``(N, 3, side, side)``, about 0 to 1, from styles ``(N, scales, latent)``, the coarsest first."""
        x, image = self.constant.expand(len(styles), -1, -1, -1), styles.new_zeros(len(styles), 3, START, START)
        for number, (block, style) in enumerate(zip(self.blocks, styles.unbind(1), strict=True)):
            if number:
                x, image = (F.interpolate(each, scale_factor=2.0, mode="bilinear") for each in (x, image))
            x, image = block(x, image, style)
        return (image + 1) / 2
