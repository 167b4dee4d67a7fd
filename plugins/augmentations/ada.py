"""Adaptive discriminator augmentation (Karras et al. 2020, "Training generative adversarial networks with limited data")."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import StylekitError, hookimpl
from stylekit.hookspecs import Augmentation
from stylekit.losses import image_scores

LUMA = 3**-0.5
"""The axis of grey, as a unit vector has three of these."""


class ADA(nn.Module):
    """Each change is made with a probability that follows the discriminator: it rises while real images are recognised.

    Geometry (flips, quarter turns, shifts, scales, turns) and, if wanted, colours (brightness, contrast, hue, saturation), as
    in the paper's appendix B, without its filters and corruptions. Images are interpolated bilinearly.

    Args:
        target: the wanted mean sign of the scores of real images, the paper's r_t
        images: number of real images over which the probability may rise from 0 to 1
        colors: change colours, too; not for translators, because changed ones would appear in what the generator makes
        start: the probability at first

    Raises:
        StylekitError: ``images`` is below 1, or ``start`` is not from 0 to 1.
    """

    probability: Tensor

    def __init__(self, target: float = 0.6, images: int = 500_000, colors: bool = False, start: float = 0.0) -> None:
        super().__init__()
        if images < 1 or not 0 <= start <= 1:
            raise StylekitError(
                f"The augmentation 'ada' needs images >= 1 and a start from 0 to 1, not images={images} and start={start}."
            )
        self.target, self.images, self.colors = target, images, colors
        self.register_buffer("probability", torch.tensor(start))

    @torch.no_grad()
    def observe(self, scores: Tensor | list[Tensor]) -> None:
        """Adapts the probability to the raw scores of real images."""
        signs = image_scores(scores).sign()
        processes = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
        step = (signs.mean() - self.target).sign() * len(signs) * processes / self.images
        self.probability.add_(step).clamp_(0, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Changes images ``(N, C, H, W)``; beyond their borders they are mirrored."""
        moved = self._moved(image)
        return self._coloured(moved) if self.colors else moved

    def _moved(self, image: Tensor) -> Tensor:
        count, (height, width) = len(image), image.shape[2:]
        matrix = torch.eye(3, device=image.device, dtype=image.dtype).expand(count, 3, 3)
        zero, one = torch.zeros(count, device=image.device), torch.ones(count, device=image.device)

        def normal(std: float) -> Tensor:
            return std * torch.randn(count, device=image.device)

        def affine(a: Tensor, b: Tensor, c: Tensor, d: Tensor, x: Tensor = zero, y: Tensor = zero) -> Tensor:
            rows = [torch.stack(row, 1) for row in ((a, b, x), (c, d, y), (zero, zero, one))]
            return torch.stack(rows, 1).to(image)

        def turned(angle: Tensor) -> Tensor:
            # In units of half the sides, so that a turn does not shear images that are not square.
            ratio = width / height
            return affine(angle.cos(), -angle.sin() / ratio, angle.sin() * ratio, angle.cos())

        def shift(side: int) -> Tensor:
            """By whole pixels, up to an eighth of a side."""
            return (side * 0.125 * (torch.rand(count, device=image.device) * 2 - 1)).round() * (2 / side)

        quarter = torch.randint(4, (count,), device=image.device) * (math.pi / 2)
        scale, narrow = 2 ** normal(0.2), 2 ** normal(0.2)
        angles = math.pi * (torch.rand(2, count, device=image.device) * 2 - 1)
        once, twice = self.probability, 1 - (1 - self.probability).sqrt()  # one of two turns is then made as often
        changes = [
            (once, affine(1 - 2 * torch.randint(2, (count,), device=image.device).float(), zero, zero, one)),
            *([(once, turned(quarter))] if height == width else []),
            (once, affine(one, zero, zero, one, shift(width), shift(height))),
            (once, affine(scale, zero, zero, scale)),
            (twice, turned(angles[0])),
            (once, affine(narrow, zero, zero, 1 / narrow)),
            (twice, turned(angles[1])),
            (once, affine(one, zero, zero, one, 2 * normal(0.125), 2 * normal(0.125))),
        ]
        for probability, change in changes:
            chosen = torch.rand(count, 1, 1, device=image.device) < probability
            matrix = torch.where(chosen, change, torch.eye(3, device=image.device, dtype=image.dtype)) @ matrix
        grid = F.affine_grid(matrix[:, :2], list(image.shape), align_corners=False)
        return F.grid_sample(image, grid, padding_mode="reflection", align_corners=False)

    def _coloured(self, image: Tensor) -> Tensor:
        count, device = len(image), image.device

        def chosen(change: Tensor, neutral: float) -> Tensor:
            """The change for some images ``(N, 1, 1, 1)``, and no change for the others."""
            where = torch.rand(count, device=device) < self.probability
            return torch.where(where, change, neutral).to(image)[:, None, None, None]

        x = 2 * image - 1
        x = x + chosen(0.2 * torch.randn(count, device=device), 0.0)
        x = x * chosen(2 ** (0.5 * torch.randn(count, device=device)), 1.0)
        grey = x.mean(1, keepdim=True)
        x = x - grey * chosen(2.0 * torch.randint(2, (count,), device=device), 0.0)  # the lightness is inverted
        angle = chosen(math.pi * (torch.rand(count, device=device) * 2 - 1), 0.0)
        x = turned_hue(x, angle)
        grey = x.mean(1, keepdim=True)
        x = grey + (x - grey) * chosen(2 ** torch.randn(count, device=device), 1.0)
        return (x + 1) / 2


def turned_hue(image: Tensor, angle: Tensor) -> Tensor:
    """Turns colours about the axis of grey (Rodrigues' formula)."""
    along = image.mean(1, keepdim=True)
    across = LUMA * (image.roll(1, 1) - image.roll(-1, 1))  # the cross product of the axis and the colour
    return image * angle.cos() + across * angle.sin() + along * (1 - angle.cos())


@hookimpl
def stylekit_augmentations() -> dict[str, Callable[..., Augmentation]]:
    return {"ada": ADA}
