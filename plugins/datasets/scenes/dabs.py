"""Brush strokes and dots: renders an image as a grid of dabs of paint that follow its contours."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def dabs(
    image: Tensor, cell: int, length: float, width: float, generator: torch.Generator, spread: float, gloss: float
) -> tuple[Tensor, Tensor]:
    """Paints one dab for each cell of a grid; where dabs overlap, the top one is visible.

    A pixel is covered by the dabs of its own cell and of the eight cells around it. Pixels are stored as (position
    in the cell, cell), so that each of the nine dabs is one shift of the cells; ``pixel_shuffle`` restores the image.

    Args:
        image: the image to paint (3, S, S)
        cell: side of a cell in pixels
        length: half the length of a dab, in cells
        width: half the width of a dab, in cells
        generator: random number generator for positions, tints and the order of the dabs
        spread: standard deviation of the tint of the dabs
        gloss: how much lighter a dab is on one side, and darker on the other

    Returns:
        The paint (3, S, S), and its opacity (1, S, S): 1 on a dab and 0 between dabs.
    """
    size = image.shape[1]
    count = -(-size // cell) + 2
    jitter = torch.rand(2, count, count, generator=generator)
    order = torch.rand(1, count, count, generator=generator).mul_(-6.4).exp_()
    tint = torch.randn(3, count, count, generator=generator) * spread
    grid = torch.arange(count) - 1
    row = ((grid[:, None] + jitter[0]) * cell).long().clamp_(0, size - 1)
    column = ((grid + jitter[1]) * cell).long().clamp_(0, size - 1)
    direction = _directions(image, row, column)
    cells = torch.cat([image[:, row, column] + tint, jitter, order, direction / length, direction / width])
    position = (torch.arange(cell) + 0.5) / cell
    down, right = position.repeat_interleave(cell).view(-1, 1, 1), position.repeat(cell).view(-1, 1, 1)
    inner = count - 2
    weight, relief = torch.zeros(2, cell**2, inner, inner)
    paint = torch.zeros(4, cell**2, inner, inner)
    for dy in (0, 1, 2):
        for dx in (0, 1, 2):
            near = cells[:, dy : dy + inner, dx : dx + inner].contiguous()
            v, u = (down + (1 - dy)) - near[3], (right + (1 - dx)) - near[4]
            along = (u * near[6]).addcmul_(v, near[7])
            across = (v * near[8]).addcmul_(u, near[9], value=-1)
            rim = along.square_().addcmul_(across, across)
            # The weights are so steep that practically only the top dab is visible, but with soft borders.
            visible = (rim + 1).square_().square_().square_().reciprocal_().mul_(near[5])
            weight += visible
            paint[:3].addcmul_(visible, near[:3, None])
            paint[3].addcmul_(visible, rim)
            relief.addcmul_(visible, across)
    paint /= weight
    paint[:3].add_(relief.div_(weight).clamp_(-1, 1), alpha=gloss)
    shown = F.pixel_shuffle(paint.view(-1, inner, inner), cell)[:, :size, :size]
    # At the border of a dab the squared distance is 1, and its slope is 2 / (width * cell) per pixel.
    cover = ((1 - shown[3:]) * (width * cell / 2) + 0.5).clamp(0, 1)
    return shown[:3], cover


def _directions(image: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Cosine and sine (2, N, N) of the direction along contours, from the structure tensor of the lightness."""
    light = F.avg_pool2d(image.mean(0)[row, column][None, None], 3, 1, 1, count_include_pad=False)[0, 0]
    down, right = torch.gradient(light)
    tensor = torch.stack([right * right - down * down, 2 * right * down])
    # Where there is no contour, strokes are nearly horizontal.
    tensor[1] += 1e-4
    tensor[0] -= 4e-4
    real, imaginary = F.avg_pool2d(tensor[None], 3, 1, 1, count_include_pad=False)[0]
    length = (real.square() + imaginary.square()).sqrt() + 1e-12
    # Half the tensor's angle, rotated by a right angle, is the direction of the contour.
    cosine = ((1 - real / length).clamp(min=0) / 2).sqrt()
    sine = ((1 + real / length).clamp(min=0) / 2).sqrt() * -imaginary.sign()
    return torch.stack([cosine, sine])
