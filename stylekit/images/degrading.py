"""Degradations of clean pictures, one after another, and the random numbers that they draw for each image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from stylekit.errors import StylekitError
from stylekit.images.pixels import require_channels
from stylekit.registry.parts import Part, make

Range = float | tuple[float, float]
"""A number, or the smallest and the largest, between which one is drawn for each image."""


class Degradations(nn.Module):
    """Applies degradations one after another, as in ``Degradations(["blur", {"name": "downscale", "scale": 2}, "jpeg"])``.

    Args:
        parts: the degradations in this order, or a single one
        rounded: whether results have the steps of 8 bits, as in files of pictures; those of other images may have any value

    Raises:
        StylekitError: a degradation is unknown, or its options are wrong.

    Attributes:
        scale: by how much the sides are divided: the product of the degradations' ``scale``
    """

    def __init__(self, parts: Part | Sequence[Part], rounded: bool = True) -> None:
        super().__init__()
        self.rounded = rounded
        several = [parts] if isinstance(parts, str | Mapping) or callable(parts) else parts
        self.parts = nn.ModuleList(make("degradation", part) for part in several)
        self.scale = math.prod(int(getattr(part, "scale", 1)) for part in self.parts)

    def forward(self, image: Tensor) -> Tensor:
        """Degrades images ``(N, C, H, W)`` in [0, 1]: ``(N, C, H // scale, W // scale)`` in [0, 1].

        Raises:
            StylekitError: a degradation needs other channels.
        """
        for part in self.parts:
            require_channels(part, image, "degradation")
            image = part(image)
        image = image.clamp(0, 1)
        return image.mul(255).round().div(255) if self.rounded else image

    @torch.no_grad()
    def damage(self, clean: Tensor) -> Tensor:
        """Degrades the clean images of a training batch, as the call does, so that a network can learn the way back.

        Raises:
            StylekitError: their sides are not multiples of ``scale``.
        """
        height, width = clean.shape[2:]
        if height % self.scale or width % self.scale:
            raise StylekitError(
                f"The training images have {width}x{height} pixels, which is not a multiple of the scale {self.scale}: choose "
                f"--size {max(1, width // self.scale) * self.scale}."
            )
        degraded: Tensor = self(clean)
        return degraded


def drawn(choice: Range, image: Tensor) -> Tensor:
    """A number for each image of a batch, drawn uniformly from a range.

    Args:
        choice: a number, which is then that of every image, or the smallest and the largest
        image: the images ``(N, ...)``, whose device and type it gets

    Returns:
        The numbers ``(N, 1, 1, 1)``.
    """
    low, high = (choice, choice) if isinstance(choice, int | float) else choice
    numbers = image.new_full((len(image), 1, 1, 1), low)
    return numbers if low == high else numbers + (high - low) * torch.rand_like(numbers)


def require_range(what: str, least: float = 0.0, most: float = math.inf, **options: Range) -> None:
    """Checks options that are numbers or ranges.

    Args:
        what: the part, as messages name it
        least: the smallest number that is allowed
        most: the largest
        options: the ranges by name

    Raises:
        StylekitError: a number is not within these limits, or the first of a range is above the second.
    """
    for name, choice in options.items():
        low, high = (choice, choice) if isinstance(choice, int | float) else choice
        if not least <= low <= high <= most or math.isinf(high):
            limits = f"at least {least:g}" if math.isinf(most) else f"from {least:g} to {most:g}"
            raise StylekitError(
                f"The option {name!r} of the {what} is {choice}, but must be a number {limits}, or the smallest and the "
                "largest of such numbers."
            )
