"""Sample grids: many images combined into one, for viewing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from stylekit.images import to_tensor

HEADER = 20
"""Height of the row of labels, in pixels."""


def grid(rows: Sequence[Sequence[Tensor]], labels: Sequence[str] = (), gap: int = 4) -> Tensor:
    """A sample grid ``(3, H, W)``, float32 on the CPU: rows of images on white, aligned in columns.

    Args:
        rows: the images of each row, ``(3, h, w)`` of any size, each placed at the top left of its cell
        labels: a caption above each column; a column is as wide as its widest image or caption
        gap: pixels between and around the cells

    Raises:
        ValueError: there is no image.
    """
    if not any(len(row) for row in rows):
        raise ValueError("A sample grid needs at least one image.")
    font = ImageFont.load_default(14)
    widths = [int(font.getlength(label)) + 1 for label in labels]
    widths += [0] * (max(map(len, rows)) - len(widths))
    for row in rows:
        for column, image in enumerate(row):
            widths[column] = max(widths[column], image.shape[-1])
    heights = [max((image.shape[-2] for image in row), default=0) for row in rows]

    lefts = list(accumulate((width + gap for width in widths), initial=gap))
    tops = list(accumulate((height + gap for height in heights), initial=gap + (HEADER if labels else 0)))
    sheet = Image.new("RGB", (lefts[-1], tops[-1]), "white")
    for left, label in zip(lefts, labels, strict=False):
        ImageDraw.Draw(sheet).text((left, gap), label, fill="black", font=font)

    canvas = to_tensor(sheet)[0]
    for top, row in zip(tops, rows, strict=False):
        for left, image in zip(lefts, row, strict=False):
            height, width = image.shape[-2:]
            canvas[:, top : top + height, left : left + width] = image.detach().clamp(0, 1)
    return canvas
