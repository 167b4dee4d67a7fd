"""Steadies a stylised clip: each frame is blended with the one before it, moved along the optical flow of the contents.

out_t = a_t warp(out_{t-1}) + (1 - a_t) G(x_t), where a_t is 0 in places that were hidden in the previous frame, and in the
first frame of a shot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from stylekit.images.dis import opencv, optical_flow
from stylekit.images.pixels import Array
from stylekit.inference.motion.warping import agreement, warped

SHARE = 0.8
"""The share of the previous frame where the flow is certain. Noise that is independent from frame to frame then has a third
of its amplitude: sqrt((1 - a) / (1 + a))."""
BRIGHTNESS = 50.0
"""How quickly trust decreases with the squared difference of moved and current content (Lai et al., ECCV 2018)."""
CUT = 0.25
"""Mean trust below which a new shot begins."""


def steady(frames: Iterable[tuple[Array, Array]], before: tuple[Array, Array] | None = None) -> Iterator[Array]:
    """Steadies the frames of a clip, in order.

    Args:
        frames: the content ``(H, W, 3)`` of each frame, and what was made of it, whose sides are a multiple of those of the
            content; float32 in [0, 1]
        before: the content of the frame before the first, and the steady frame that was made of it, for a clip that goes on

    Raises:
        StylekitError: OpenCV is not installed.
    """
    opencv()
    for content, made in frames:
        out = made if before is None else blended(content, made, *before)
        before = content, out
        yield out


def blended(content: Array, made: Array, previous_content: Array, previous_out: Array) -> Array:
    """One frame, blended with the one before it; unchanged if a new shot begins."""
    flow = optical_flow(content, previous_content)
    trust = agreement(flow, optical_flow(previous_content, content))
    changed = ((warped(previous_content, flow) - content) ** 2).mean(-1)
    trust = trust * np.exp(-BRIGHTNESS * changed)
    if trust.mean() < CUT:
        return made
    if made.shape != content.shape:
        cv2, (height, width) = opencv(), made.shape[:2]
        flow = cv2.resize(flow, (width, height)) * np.float32(height / content.shape[0])
        trust = cv2.resize(trust, (width, height))
    share = SHARE * trust[..., None]
    if made.shape == content.shape:  # what no mask covers stays as it is
        share = np.where((made == content).all(-1, keepdims=True), 0, share)
    out: Array = (share * warped(previous_out, flow) + (1 - share) * made).clip(0, 1)
    return out
