"""Brush strokes and dots: a picture as a mosaic of dabs of paint that follow its contours."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def dabs(
    image: Tensor, cell: int, length: float, width: float, generator: torch.Generator, spread: float, gloss: float
) -> tuple[Tensor, Tensor]:
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
        gloss: How much lighter a dab is on one side, and darker on the other.

    Returns:
        The paint (3, S, S), and its cover (1, S, S), which is 1 on a dab and 0 between dabs.
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
    place = (torch.arange(cell) + 0.5) / cell
    down, right = place.repeat_interleave(cell).view(-1, 1, 1), place.repeat(cell).view(-1, 1, 1)
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
            # So steep a weight that the uppermost dab shows nearly alone, with soft borders.
            own = (rim + 1).square_().square_().square_().reciprocal_().mul_(near[5])
            weight += own
            paint[:3].addcmul_(own, near[:3, None])
            paint[3].addcmul_(own, rim)
            relief.addcmul_(own, across)
    paint /= weight
    paint[:3].add_(relief.div_(weight).clamp_(-1, 1), alpha=gloss)
    shown = F.pixel_shuffle(paint.view(-1, inner, inner), cell)[:, :size, :size]
    # The rim is where the squared distance is 1; its slope there is 2 / (width * cell) a pixel.
    cover = ((1 - shown[3:]) * (width * cell / 2) + 0.5).clamp(0, 1)
    return shown[:3], cover


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
