"""Differentiable augmentation (Zhao et al. 2020, "Differentiable augmentation for data-efficient GAN training")."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import hookimpl
from stylekit.hookspecs import Augmentation

Kind = Literal["color", "translation", "cutout"]
GREY = 0.5
"""What is 0 in the paper's code, whose images are in [-1, 1]."""


def uniform(image: Tensor, low: float, high: float) -> Tensor:
    """A random number for each image, ``(N, 1, 1, 1)``."""
    return torch.empty(len(image), 1, 1, 1, device=image.device, dtype=image.dtype).uniform_(low, high)


def color(image: Tensor) -> Tensor:
    """Changes brightness by up to a quarter (half, where black is -1), saturation to 0 to 2 times and contrast to 0.5 to 1.5
    times its value."""
    image = image + uniform(image, -0.25, 0.25)
    grey = image.mean(1, keepdim=True)
    image = grey + uniform(image, 0, 2) * (image - grey)
    mean = image.mean((1, 2, 3), keepdim=True)
    return mean + uniform(image, 0.5, 1.5) * (image - mean)


def translation(image: Tensor) -> Tensor:
    """Moves images by up to an eighth of their sides; what appears is grey."""
    height, width = image.shape[2:]
    down, right = height // 8, width // 8
    padded = F.pad(image, (right, right, down, down), value=GREY)
    rows, columns = (
        torch.arange(side, device=image.device) + torch.randint(2 * most + 1, (len(image), 1), device=image.device)
        for side, most in ((height, down), (width, right))
    )
    each = torch.arange(len(image), device=image.device)[:, None, None]
    return padded[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def cutout(image: Tensor) -> Tensor:
    """Makes a rectangle of half the sides grey; its middle is anywhere in the image."""
    inside = torch.ones((), dtype=torch.bool, device=image.device)
    for axis, side in ((2, image.shape[2]), (3, image.shape[3])):
        middle = torch.randint(side, (len(image), 1, 1, 1), device=image.device)
        at = torch.arange(side, device=image.device).view(1, 1, *((-1, 1) if axis == 2 else (1, -1)))
        inside = inside & (at >= middle - side // 4) & (at < middle - side // 4 + side // 2)
    return image.masked_fill(inside, GREY)


KINDS: dict[str, Callable[[Tensor], Tensor]] = {"color": color, "translation": translation, "cutout": cutout}


class DiffAugment(nn.Module):
    """Changes real and generated images at random, so that the discriminator cannot memorise the few real ones.

    Args:
        kinds: what is changed, in this order. Translators leave out ``color``, because colours are part of a style: changed
            ones would appear in what the generator makes
    """

    def __init__(self, kinds: Sequence[Kind] = ("translation", "cutout")) -> None:
        super().__init__()
        self.kinds = tuple(kinds)

    def forward(self, image: Tensor) -> Tensor:
        """Changes images ``(N, C, H, W)``; with ``color``, values may leave [0, 1]."""
        for kind in self.kinds:
            image = KINDS[kind](image)
        return image


@hookimpl
def stylekit_augmentations() -> dict[str, Callable[..., Augmentation]]:
    return {"diffaugment": DiffAugment}
