"""How steady a stylised clip is: the warping error of Lai et al. 2018, next to that of the clip itself and a distance of style.

The error of a clip depends on the flow, on the mask and on the clip, so it cannot be compared with those of other programs'
reports. Blur lowers it, and so does leaving the clip as it is: read it with the style distance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from stylekit.errors import StylekitError
from stylekit.hookspecs import Metric
from stylekit.images.flow import dis_flow, visible, warp

__all__ = ["INTERVALS", "Motion", "Motions", "estimated_motions", "steadiness", "strip", "warping_error"]

INTERVALS: Mapping[str, int] = {"short": 1, "long": 10}
"""The frames from one image to that with which it is compared, by the name of the error."""


class Motion(NamedTuple):
    """Where the pixels of a frame are in a later frame.

    Attributes:
        flow: displacements ``(1, 2, H, W)`` in pixels, to the right and downwards
        mask: truth values ``(1, 1, H, W)``: whether what a pixel shows can be seen in both frames
    """

    flow: Tensor
    mask: Tensor


Motions = Mapping[str, Sequence[Motion]]
"""For each of ``INTERVALS``, the motion from each frame of a clip that has a frame so much later."""


def estimated_motions(frames: Sequence[Tensor]) -> Motions:
    """The motion of a clip, estimated by :func:`stylekit.images.flow.dis_flow`.

    Args:
        frames: images ``(1, 3, H, W)`` in [0, 1], of one size

    Raises:
        StylekitError: OpenCV is not installed, or the frames are too small.
    """

    def between(frame: Tensor, later: Tensor) -> Motion:
        flow = dis_flow(frame, later)
        return Motion(flow, visible(flow, dis_flow(later, frame)))

    return {
        name: [between(*pair) for pair in zip(frames, frames[interval:], strict=False)]
        for name, interval in INTERVALS.items()
    }


def warping_error(frames: Sequence[Tensor], motions: Sequence[Motion], interval: int = 1) -> float:
    """The mean squared difference of each frame from a later one, which is warped to it.

    It is the mean over the pixels of the mask and the colours, and then over frames: ``E_warp`` of Lai et al. 2018, section
    4.2, as their program computes it. Frames whose mask is empty are left out (their program counts 0 for them).

    Args:
        frames: images ``(1, 3, H, W)`` in [0, 1], of one size
        motions: for each frame that has a frame ``interval`` later, the motion to it
        interval: number of frames

    Raises:
        StylekitError: there are too few frames, another number of motions, other sizes, a frame is not finite, or no mask has
            a pixel.
    """
    pairs = list(zip(frames, frames[interval:], strict=False))
    if not pairs or len(pairs) != len(motions):
        raise StylekitError(
            f"The warping error with an interval of {interval} needs more frames than that and a motion for each frame but the "
            f"last {interval}, not {len(frames)} frames and {len(motions)} motions."
        )
    errors = []
    for number, ((frame, later), (flow, mask)) in enumerate(zip(pairs, motions, strict=True)):
        if not frame.shape[2:] == later.shape[2:] == flow.shape[2:] == mask.shape[2:]:
            raise StylekitError(
                f"Frame {number}, the frame {interval} later and the motion between have different sizes."
            )
        squared = (warp(later, flow) - frame).square().mean(1, keepdim=True)
        if not bool(squared.isfinite().all()):
            raise StylekitError(f"Frame {number} or the frame {interval} later has values that are not finite.")
        if mask.any():
            errors.append(float(squared[mask].double().mean()))
    if not errors:
        raise StylekitError(
            f"No pixel of any frame is visible {interval} frames later, so there is no warping error. The clip may have cuts, "
            "or move too fast."
        )
    return sum(errors) / len(errors)


def steadiness(
    outputs: Sequence[Tensor], contents: Sequence[Tensor], style: Tensor, motions: Motions, distance: Metric
) -> dict[str, float]:
    """What a stylised clip is judged by: its warping errors, relative to those of the clip itself, and how far it is from the
    style, so that blur gains nothing.

    Args:
        outputs: the stylised frames ``(1, 3, H, W)`` in [0, 1]
        contents: the frames themselves
        style: the style image ``(1, 3, H, W)``
        motions: the motion of the contents
        distance: the metric for the style, such as ``make("metric", "style-distance")``

    Returns:
        For each interval that has motions, the error (``short``) and its ratio to that of the contents (``short_ratio``),
        infinite if that is 0; and ``style_distance``, the mean over the frames.

    Raises:
        StylekitError: as for :func:`warping_error`.
    """
    found: dict[str, float] = {}
    for name, motion in motions.items():
        if not motion:
            continue
        ours, theirs = (warping_error(frames, motion, INTERVALS[name]) for frames in (outputs, contents))
        found |= {name: ours, f"{name}_ratio": ours / theirs if theirs else math.inf}
    distances = torch.cat([distance(output, style) for output in outputs])
    return {**found, "style_distance": float(distances.mean())}


def strip(frames: Sequence[Tensor], column: int | None = None) -> Tensor:
    """One column of pixels over time: an image ``(1, 3, H, frames)``, in which flicker is vertical stripes.

    Args:
        frames: images ``(1, 3, H, W)``, of one size
        column: its number; by default that in the middle

    Raises:
        StylekitError: there is no frame, or no such column.
    """
    width = frames[0].shape[3] if frames else 0
    at = width // 2 if column is None else column
    if not 0 <= at < width:
        raise StylekitError(f"There is no column {at} in frames of {width} pixels.")
    return torch.stack([frame[..., at] for frame in frames], 3)
