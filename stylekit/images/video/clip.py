"""What a clip is, whatever holds it: a video file, an animated image, or a folder of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Protocol

from stylekit.images.picture import Picture

BT709 = 1
"""The number of the matrix of ITU-R BT.709, for videos in high definition, in the tables of ITU-T H.273."""


@dataclass(frozen=True)
class Frame:
    """One frame of a clip.

    Attributes:
        start: when it appears, in seconds from the start of the clip
        end: when the next one appears
        read: decodes the pixels; frames may be read in any order, or not at all
    """

    start: Fraction
    end: Fraction
    read: Callable[[], Picture]


@dataclass(frozen=True)
class Layout:
    """What the headers say about a clip.

    Attributes:
        size: height and width of the frames in pixels, upright
        count: number of frames, which may be an estimate
        rate: mean number of frames per second
        time_base: the unit in which the file counts the time, in seconds
        pixel_aspect: width of a pixel divided by its height
        matrix: which matrix the colours of a video are stored with, by ITU-T H.273
        loop: how often an animation is shown; 0: for ever
    """

    size: tuple[int, int]
    count: int
    rate: Fraction
    time_base: Fraction
    pixel_aspect: Fraction = Fraction(1)
    matrix: int = BT709
    loop: int = 0


class Clip(Protocol):
    """A clip that can be read several times."""

    path: Path
    layout: Layout

    def frames(self, start: Fraction = Fraction(0)) -> Iterator[Frame]:
        """The frames in the order in which they are shown, from the first that appears at ``start`` or later."""
        ...


@dataclass(frozen=True)
class Selection:
    """Which frames of a clip are used.

    Attributes:
        start: the first second
        end: the second before which the last frame appears; None: the end of the clip
        every: use one of so many frames; each is then shown for as long as all of them
    """

    start: Fraction = Fraction(0)
    end: Fraction | None = None
    every: int = 1

    def of(self, clip: Clip) -> Iterator[Frame]:
        """The selected frames, with times that begin at ``start``."""
        frames = clip.frames(self.start)
        while group := list(islice(frames, self.every)):
            inside = [frame for frame in group if self.end is None or frame.start < self.end]
            if inside:
                first, last = inside[0], inside[-1]
                yield Frame(first.start - self.start, last.end - self.start, first.read)
            if len(inside) < self.every:
                return

    def count(self, layout: Layout) -> int:
        """The number of selected frames, which may be an estimate."""
        total = Fraction(layout.count)
        if self.end is not None:
            total = min(total, self.end * layout.rate)
        return max(1, -int((self.start * layout.rate - total) // self.every))
