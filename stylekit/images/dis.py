"""Optical flow by DIS of OpenCV, without torch: where each pixel of a frame is in another one."""

from __future__ import annotations

from typing import Any

import numpy as np

from stylekit.images.pixels import Array
from stylekit.registry.extras import import_extra

LEAST = 16
"""Length of a side in pixels below which no motion is searched."""


def opencv() -> Any:
    """The module ``cv2``.

    Raises:
        StylekitError: it is not installed.
    """
    return import_extra("cv2", "video", "Optical flow")


def optical_flow(first: Array, second: Array) -> Array:
    """The flow ``(H, W, 2)`` in pixels, horizontal and vertical: what is at ``p`` in the first image is at ``p + flow[p]`` in
    the second. By dense inverse search (DIS; Kroeger et al., ECCV 2016), which needs no training.

    Args:
        first: image ``(H, W, 3)`` in [0, 1], float32
        second: image of the same size

    Raises:
        StylekitError: OpenCV is not installed.
    """
    if min(first.shape[:2]) < LEAST:
        return np.zeros((*first.shape[:2], 2), np.float32)
    cv2 = opencv()
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow: Array = search.calc(_grey(first), _grey(second), None)
    return flow


def _grey(image: Array) -> Array:
    grey: Array = opencv().cvtColor(np.asarray(image * 255 + 0.5, np.uint8), opencv().COLOR_RGB2GRAY)
    return grey
