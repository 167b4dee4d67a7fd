"""Sample grids: many images combined into one, for viewing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import matplotlib
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from stylekit.errors import printable
from stylekit.images import to_tensor

HEADER = 20
"""Height of the row of labels, in pixels."""


def grid(rows: Sequence[Sequence[Tensor]], labels: Sequence[str] = (), gap: int = 4) -> Tensor:
    """A sample grid ``(3, H, W)``, float32 on the CPU: rows of images on white, aligned in columns.

    Args:
        rows: the images of each row, ``(C, h, w)`` of any size, each placed at the top left of its cell
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
            canvas[:, top : top + height, left : left + width] = _shown(image.detach().clamp(0, 1))
    return canvas


def _shown(image: Tensor) -> Tensor:
    """An image ``(C, h, w)`` as it is shown: the first three channels as colours, or the first of fewer as grey."""
    return image[:3] if len(image) >= 3 else image[:1]


ASPECT = 1.5
"""Width of a contact sheet relative to its height, as nearly as its tiles allow."""
CAPTION, GAP = 22, 16
"""Height of a caption and space between tiles, in pixels."""


def contact_sheet(tiles: Sequence[tuple[str, Tensor]]) -> Tensor:
    """A sheet ``(3, H, W)`` of images with captions below them, with as many columns as make it about 3:2.

    Args:
        tiles: captions and images ``(3, h, w)``, all of one size; captions that are too long end in an ellipsis

    Raises:
        ValueError: there is no image.
    """
    captioned = [_captioned(caption, image) for caption, image in tiles]
    height, width = captioned[0].shape[-2:] if tiles else (1, 1)

    def distance(columns: int) -> tuple[float, int]:
        rows = -(-len(tiles) // columns)
        aspect = (columns * (width + GAP)) / (rows * (height + GAP))
        return abs(math.log(aspect / ASPECT)), columns

    columns = min(range(1, len(tiles) + 1), key=distance, default=1)
    return grid([captioned[first : first + columns] for first in range(0, len(tiles), columns)], gap=GAP)


def _captioned(caption: str, image: Tensor) -> Tensor:
    """The image with a caption centred below it."""
    width = image.shape[-1]
    file = Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf")  # has Greek and Cyrillic
    font = ImageFont.truetype(file, 12)
    shown = caption = printable(caption)
    while shown and font.getlength(shown) > width:
        caption = caption[:-1]
        shown = f"{caption}\u2026" if caption else ""
    strip = Image.new("RGB", (width, CAPTION), "white")
    ImageDraw.Draw(strip).text((width / 2, CAPTION - 6), shown, fill="#333333", font=font, anchor="ms")
    return torch.cat([image.detach().float().cpu(), to_tensor(strip)[0]], 1)
