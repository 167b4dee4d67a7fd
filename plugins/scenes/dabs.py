"""Brush strokes and dots: a picture as a mosaic of dabs of paint that follow its contours."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def dabs(
    image: Tensor, cell: int, length: float, width: float, generator: torch.Generator, spread: float = 0.05
) -> tuple[Tensor, Tensor, Tensor]:
    """Paints one dab for each cell of a grid; where dabs overlap, the one on top wins.

    A pixel looks at the dabs of its own cell and the eight around it. Pixels are kept as (place in the cell,
    cell), so that each of the nine is one shift of the cells; ``pixel_shuffle`` puts them where they belong.

    Args:
        image: (3, S, S), what is painted.
        cell: The cell's side in pixels.
        length: Half a dab's length, in cells.
        width: Half a dab's width, in cells.
        generator: Where places, tints and the order of the dabs come from.
        spread: How much the tint of dabs varies.

    Returns:
        The paint (3, S, S), its relief (1, S, S), -1 to 1 from one side of a dab to the other, and its cover
        (1, S, S), which is 1 on a dab and 0 between dabs.
    """
    size = image.shape[1]
    count = -(-size // cell) + 2
    jitter = torch.rand(2, count, count, generator=generator)
    order = torch.rand(count, count, generator=generator) * 1.6
    tint = torch.randn(3, count, count, generator=generator) * spread
    grid = torch.arange(count) - 1
    row = ((grid[:, None] + jitter[0]) * cell).long().clamp_(0, size - 1)
    column = ((grid + jitter[1]) * cell).long().clamp_(0, size - 1)
    tone = torch.cat([image[:, row, column] + tint, jitter, order[None], _directions(image, row, column)])
    place = (torch.arange(cell) + 0.5) / cell
    down, right = place.repeat_interleave(cell).view(-1, 1, 1), place.repeat(cell).view(-1, 1, 1)
    inner = count - 2
    weight, paint = torch.zeros(cell**2, inner, inner), torch.zeros(5, cell**2, inner, inner)
    for dy in (0, 1, 2):
        for dx in (0, 1, 2):
            near = tone[:, dy : dy + inner, dx : dx + inner].contiguous()
            v, u = down - (near[3] + (dy - 1)), right - (near[4] + (dx - 1))
            along, across = u * near[6] + v * near[7], v * near[6] - u * near[7]
            rim = along.square().mul_(1 / length**2).addcmul_(across, across, value=1 / width**2)
            own = (rim * -6).sub_(near[5] * 4).exp_()
            weight += own
            paint[:3].addcmul_(own, near[:3, None])
            paint[3].addcmul_(own, across)
            paint[4].addcmul_(own, rim)
    paint /= weight + 1e-12
    shown = F.pixel_shuffle(paint.view(5 * cell**2, inner, inner), cell)[:, :size, :size]
    # The rim is where the squared distance is 1; its slope there is 2 / (width * cell) a pixel.
    cover = ((1 - shown[4:]) * (width * cell / 2) + 0.5).clamp(0, 1)
    return shown[:3], (shown[3:4] / width).clamp(-1, 1), cover


def _directions(image: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """(2, N, N): cosine and sine of the direction along contours, by the structure tensor of lightness."""
    light = F.avg_pool2d(image.mean(0)[row, column][None, None], 3, 1, 1, count_include_pad=False)[0, 0]
    down, right = torch.gradient(light)
    tensor = torch.stack([right * right - down * down, 2 * right * down])
    # Where there is no contour, strokes lie nearly flat.
    tensor[1] += 1e-4
    tensor[0] -= 4e-4
    real, imaginary = F.avg_pool2d(tensor[None], 3, 1, 1, count_include_pad=False)[0]
    length = (real.square() + imaginary.square()).sqrt() + 1e-12
    # Half the tensor's angle, turned by a right angle: along the contour.
    cosine = ((1 - real / length).clamp(min=0) / 2).sqrt()
    sine = ((1 + real / length).clamp(min=0) / 2).sqrt() * -imaginary.sign()
    return torch.stack([cosine, sine])
