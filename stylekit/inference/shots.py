"""The shots of a clip: between two of them, everything in the picture changes at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from stylekit.images.picture import Picture
from stylekit.images.pixels import Array
from stylekit.images.writing import to_planes

SIDE = 16
"""Frames are compared as images of this many cells on each side."""
CHANGE = 0.12
"""The mean difference of colours in [0, 1] from which a frame may begin a shot."""
SUDDEN = 4.0
"""How much larger it must be than that of the frame before: fast motion and fades change several frames in a row."""
SAMPLES = 8
"""Number of frames that represent a shot, or up to twice as many."""


@dataclass(frozen=True)
class Shot:
    """A shot.

    Attributes:
        first: number of its first frame in the clip
        samples: some of its frames, at equal distances
    """

    first: int
    samples: list[Picture]


def find_shots(frames: Iterable[Picture]) -> Iterator[Shot]:
    """Divides the frames of a clip into shots; each is yielded when it has ended.

    Args:
        frames: all frames, of which only those that are samples of the current shot are kept
    """
    shot, stride, before, motion = Shot(0, []), 1, None, 0.0
    for number, frame in enumerate(frames):
        cells = _cells(frame)
        change = 0.0 if before is None else float(np.abs(cells - before).mean())
        if change > CHANGE and change > SUDDEN * motion:
            yield shot
            shot, stride = Shot(number, []), 1
        else:
            motion = change
        if (number - shot.first) % stride == 0:
            shot.samples.append(frame)
            if len(shot.samples) == 2 * SAMPLES:
                del shot.samples[1::2]
                stride *= 2
        before = cells
    if shot.samples:
        yield shot


def _cells(frame: Picture) -> Array:
    """The mean colours ``(3, h, w)`` of a grid of cells."""
    colors = to_planes(frame.image, 3)
    for axis in (1, 2):
        starts = np.unique(np.linspace(0, colors.shape[axis], SIDE, endpoint=False).astype(int))
        lengths = np.diff([*starts, colors.shape[axis]])
        shape = [-1 if each == axis else 1 for each in range(3)]
        colors = np.add.reduceat(colors, starts, axis) / lengths.reshape(shape).astype(np.float32)
    return colors
