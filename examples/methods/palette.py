"""Colourises a grey photo with the colours of a painting. Shows a strength of 0 with a meaning of its own."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import Method, Player, hookimpl, turn
from stylekit.losses import moment_loss, moments
from stylekit.method import Batch, Capabilities, Statistics, Terms, linear_decay


def luminance(image: Tensor) -> Tensor:
    """The luminance ``(N, 1, H, W)``; of the content, the network uses nothing else."""
    return (image * image.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)


class PaletteTransfer(Method):
    """Gives a grey image natural colours at strength 0, and colours with the style's mean and standard deviation at 1.

    Args:
        width: channels of the network
        style: weight of the colour loss
        lr: learning rate
    """

    style_modules = ()
    capabilities = Capabilities(zero_strength=True)

    def __init__(self, width: int = 32, style: float = 10.0, lr: float = 1e-3) -> None:
        super().__init__()
        self.weight, self.lr = style, lr
        layers: list[nn.Module] = []
        for before, dilation in ((8, 1), (width, 2), (width, 4), (width, 8)):
            conv = nn.Conv2d(before, width, 3, padding=dilation, dilation=dilation, padding_mode="replicate")
            layers += [conv, nn.LeakyReLU(0.2)]
        self.network = nn.Sequential(*layers, nn.Conv2d(width, 3, 1))

    def players(self) -> dict[str, Player]:
        return {"network": Player(self.network, lr=self.lr, schedule=linear_decay)}

    def describe(self, style: Tensor) -> dict[str, Tensor]:
        """Computes the mean and the standard deviation ``(N, 3)`` of the colours."""
        mean, std = moments(style)
        return {"mean": mean, "std": std}

    def paint(self, content: Tensor, style: Mapping[str, Tensor], strength: float) -> Tensor:
        grey = luminance(content)
        condition = strength * torch.cat([style["mean"], style["std"], torch.ones_like(style["mean"][:, :1])], 1)
        planes = condition[..., None, None].expand(len(content), -1, *content.shape[2:])
        out: Tensor = torch.sigmoid(self.network(torch.cat([grey * 2 - 1, planes], 1)) + 4 * grey - 2)
        return out

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        style = self.describe(batch["style"])
        content = batch["content"]
        return {"natural": self.paint(content, style, 0.0), "styled": self.paint(content, style, 1.0), **style}

    @turn("network")
    def learn(self, batch: Batch, made: dict[str, Tensor]) -> Terms:
        content, styled = batch["content"], made["styled"]
        colors = moment_loss(moments(styled), (made["mean"], made["std"])).mean()
        return {
            "natural": F.l1_loss(made["natural"], content),
            "shapes": F.l1_loss(shapes(luminance(styled)), shapes(luminance(content))),
            "style": self.weight * colors,
        }

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        return self.paint(content, style, strength)


def shapes(grey: Tensor) -> Tensor:
    """The grey image with mean 0 and standard deviation 1: its shapes, regardless of brightness and contrast."""
    mean, std = (each[..., None, None] for each in moments(grey, 1e-3))
    return (grey - mean) / std


@hookimpl
def stylekit_methods() -> dict[str, type[Method]]:
    return {"palette": PaletteTransfer}
