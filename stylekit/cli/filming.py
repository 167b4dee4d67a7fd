"""Stylises the frames of one clip: reads, stylises and writes at the same time, and goes on where an earlier run was killed."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import count, islice, pairwise, repeat, tee
from typing import Any

import numpy as np

from stylekit.cli.clip_masks import MasksAt
from stylekit.cli.engines import Stylizer
from stylekit.cli.pipeline import ahead
from stylekit.cli.progress import Progress
from stylekit.images.picture import Picture
from stylekit.images.pixels import Array
from stylekit.images.resizing import reduced
from stylekit.images.video.clip import Clip, Frame, Selection
from stylekit.images.video.live import Newest
from stylekit.images.video.parts import Parts, Times
from stylekit.images.writing import to_planes


@dataclass(frozen=True)
class Look:
    """How a clip is stylised.

    Attributes:
        model: the model
        styles: styles, as the model describes them, and their weights
        options: further arguments of ``Model.clip``: the controls, the seed and the method's options
        shared: the frames of each shot share what networks compute of whole frames
        steady: blend each frame with the one before it, moved along the optical flow
        longest: maximum length of the longer side, in pixels; None: no limit
        masks: the masks of the frames that appear at some times, in seconds of the clip
    """

    model: Stylizer
    styles: list[tuple[Any, float]]
    options: Mapping[str, Any]
    shared: bool = False
    steady: bool = False
    longest: int | None = None
    masks: MasksAt = lambda times: []

    def at(self, times: Iterable[Fraction]) -> Look:
        """The same for frames that appear at these times: the masks are among the options."""
        return replace(self, options={**self.options, "mask": self.masks(times)})


@dataclass(frozen=True)
class Filmed:
    """What became of a clip.

    Attributes:
        times: when each frame appears and disappears, in seconds
        resumed: how many of them an earlier run had finished
        size: height and width of the frames
        seconds: what this run took
    """

    times: Times
    resumed: int
    size: tuple[int, int]
    seconds: float

    @property
    def frames(self) -> int:
        """The number of frames."""
        return len(self.times)

    @property
    def duration(self) -> Fraction:
        """Seconds until the last frame disappears."""
        return self.times[-1][1]


Shots = Sequence[tuple[int, Any]]
"""The number of the first frame of each shot, and the statistics that its frames share, or None."""


def measured_shots(look: Look, frames: Iterable[Picture]) -> Shots:
    """Measures the statistics of each shot of a clip.

    Args:
        look: how the clip is stylised
        frames: all frames
    """
    from stylekit.inference.model import Model
    from stylekit.inference.shots import find_shots
    from stylekit.inference.transparency import visible

    assert isinstance(look.model, Model)
    shots, shared = [], None
    for shot in find_shots(frames):
        samples = [visible(picture) for picture in shot.samples]
        shared = look.model.clip_statistics(samples, look.styles, like=shared, **look.options)
        shots.append((shot.first, shared))
    return shots


def plain_frames(look: Look, contents: Iterable[Picture], first: int, shots: Shots) -> Iterator[Picture]:
    """Turns the frames of a clip into stylised frames, shot by shot.

    Args:
        look: how
        contents: the frames
        first: number of the first of them in the clip
        shots: the shots; empty: all frames are one
    """
    contents = iter(contents)
    starts = [start for start, _ in shots] or [0]
    for (_, shared), start, end in zip(shots or [(0, None)], starts, [*starts[1:], sys.maxsize], strict=True):
        if (begin := max(first, start)) < end:
            options = {**look.options, **({"shared": shared} if shared else {})}
            yield from look.model.clip(islice(contents, end - begin), look.styles, first_frame=begin, **options)


def stylized_frames(
    look: Look, contents: Iterable[Picture], first: int, before: tuple[Picture, Array] | None, shots: Shots
) -> Iterator[Picture]:
    """Turns the frames of a clip into stylised frames, in order.

    Args:
        look: how
        contents: the frames
        first: number of the first of them in the clip
        before: for a steady clip that goes on: the frame before the first, and what was made of it, ``(3, H, W)``
        shots: as for :func:`plain_frames`
    """
    if not look.steady:
        yield from plain_frames(look, contents, first, shots)
        return
    from stylekit.inference.motion.steady import steady

    originals, contents = tee(contents)
    made, shown = tee(plain_frames(look, contents, first, shots))
    pairs = ((_rows(content), _rows(each)) for content, each in zip(originals, made, strict=True))
    earlier = (_rows(before[0]), np.moveaxis(before[1], 0, -1)) if before else None
    for image, picture in zip(steady(pairs, earlier), shown, strict=True):
        yield replace(picture, image=_like(picture.image, image), stored=None)


def _rows(picture: Picture) -> Array:
    """The colours ``(H, W, 3)`` of a picture."""
    return np.ascontiguousarray(np.moveaxis(to_planes(picture.image, 3), 0, -1))


def _like(image: Any, rows: Array) -> Any:
    """Colours ``(H, W, 3)`` as an array or a tensor ``(1, 3, H, W)``, like another one."""
    planes = np.ascontiguousarray(np.moveaxis(rows, -1, 0)[None])
    if isinstance(image, np.ndarray):
        return planes
    import torch

    return torch.from_numpy(planes)


def film(look: Look, clip: Clip, selection: Selection, parts: Parts, quiet: bool) -> Filmed:
    """Stylises the frames that are not finished, and shows the progress. Of a live clip, none is read ahead.

    Args:
        look: how the clip is stylised
        clip: the clip
        selection: which of its frames
        parts: what is finished of it
        quiet: show no progress

    Raises:
        StylekitError: a frame cannot be read, stylised or written.
    """
    done, began = parts.count, time.perf_counter()
    contents_again = (read_frame(look, frame) for frame in selection.of(clip))
    shots = measured_shots(look.at(repeat(selection.start)), contents_again) if look.shared else []
    times: list[tuple[Fraction, Fraction]] = []
    kept: list[Picture] = []
    frames = selection.of(clip)
    live = isinstance(clip, Newest)

    def contents() -> Iterator[Picture]:
        for frame in frames:
            times.append((frame.start, frame.end))
            if len(times) > done:
                yield read_frame(look, frame)
            elif len(times) == done and look.steady:
                kept.append(read_frame(look, frame))

    def outputs() -> Generator[Picture]:
        waiting = contents() if live else ahead(contents())
        first = next(waiting, None)  # now the last finished frame is known, too
        if first is not None:
            before = (kept[0], parts.last()) if kept else None
            starts = (selection.start + times[number][0] for number in count(done))
            yield from stylized_frames(look.at(starts), _with(first, waiting), done, before, shots)

    height, width = clip.layout.size
    with Progress(quiet) as progress, contextlib.closing(outputs() if live else ahead(outputs())) as made:
        total = selection.count(clip.layout)
        for number, picture in enumerate(made, done + 1):
            height, width = picture.image.shape[-2:]
            parts.add(picture)
            progress.update("frames", number, max(number, total))
    if live:  # each frame is shown until the next one that was not dropped
        times = [(start, later) for (start, _), (later, _) in pairwise(times)] + times[-1:]
    return Filmed(times, done, (height, width), time.perf_counter() - began)


def read_frame(look: Look, frame: Frame) -> Picture:
    """A frame at the size at which it is stylised."""
    return reduced(frame.read(), look.longest or 0)


def _with(first: Picture, rest: Iterable[Picture]) -> Iterator[Picture]:
    yield first
    yield from rest
