"""Reads ``--mask`` of a clip: a picture for all frames, or a clip of masks, each of which is shown at its time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from stylekit import images
from stylekit.cli.masks import mask_reader
from stylekit.datasets.files import is_image
from stylekit.errors import StylekitError
from stylekit.images.picture import as_mask
from stylekit.images.video.clip import Clip
from stylekit.images.video.live import Newest
from stylekit.images.video.opening import open_clip

MasksAt = Callable[[Iterable[Fraction]], list[Any]]
"""For each region a mask, or an iterator of those of the frames that appear at some times, in seconds of the clip."""


def open_masks(paths: Sequence[Path], clip: Clip, arrays: bool) -> MasksAt:
    """Opens the masks of a clip.

    Args:
        paths: for each region a picture, a folder of frames, an animation or a video
        clip: the clip; its mean rate is that of the folders
        arrays: masks are arrays instead of tensors

    Raises:
        StylekitError: one cannot be read, or would have to move along a live clip.
    """
    opened = [_open(path, clip, arrays) for path in paths]
    return lambda times: [each(times) for each in opened]


def _open(path: Path, clip: Clip, arrays: bool) -> Callable[[Iterable[Fraction]], Any]:
    if not path.is_dir() and (is_image(path.name) or not path.exists()) and images.frame_count(path) == 1:
        still = mask_reader(arrays)(path)
        return lambda times: still
    if isinstance(clip, Newest):
        raise StylekitError(f"The mask {path} has frames, but a live clip has no length. Give a picture as --mask.")
    moving = open_clip(path, clip.layout.rate, arrays)
    return lambda times: _shown(moving, times, 1 / (2 * clip.layout.rate))


def _shown(masks: Clip, times: Iterable[Fraction], tolerance: Fraction) -> Iterator[Any]:
    """The mask that is shown at each time.

    Args:
        masks: the masks
        times: the times, in order
        tolerance: by how much times may differ, because files round them
    """
    frames = masks.frames()
    shown, following = next(frames, None), next(frames, None)
    for time in times:
        while following and following.start <= time + tolerance:
            shown, following = following, next(frames, None)
        if shown is None or (following is None and shown.end <= time + tolerance):
            end = shown.end if shown else 0
            raise StylekitError(
                f"The mask {masks.path} ends at {float(end):.2f} seconds, before the clip does. Give one that is as long, or "
                f"add --to {float(end):.2f}."
            )
        yield as_mask(shown.read())
