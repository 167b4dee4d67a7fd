"""Moving an image along optical flow, and where that can be trusted."""

from __future__ import annotations

import numpy as np

from stylekit.images.dis import opencv
from stylekit.images.pixels import Array


def warped(image: Array, flow: Array) -> Array:
    """The image whose pixel ``p`` is that at ``p + flow[p]`` of the given one, by bicubic interpolation. Beyond the border, the
    last row or column is repeated.

    Args:
        image: ``(H, W, C)`` with up to 4 channels, float32
        flow: ``(H, W, 2)`` in pixels, horizontal and vertical

    Raises:
        StylekitError: OpenCV is not installed.
    """
    cv2 = opencv()
    rows, columns = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    moved: Array = cv2.remap(
        image, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return moved


def agreement(flow: Array, back: Array) -> Array:
    """How far flow and the flow in the other direction agree, ``(H, W)`` from 1 to 0.

    It is 0 where the flow leaves the image, and where the squared distance from the start after going there and back exceeds
    the limit of Sundaram et al. (ECCV 2010), 0.01 times the sum of both flows' squared lengths, plus 0.5.

    Args:
        flow: ``(H, W, 2)`` in pixels, from this image to the other
        back: ``(H, W, 2)``, from the other image to this one
    """
    returning = warped(back, flow)
    error = ((flow + returning) ** 2).sum(-1)
    limit = 0.01 * ((flow**2).sum(-1) + (returning**2).sum(-1)) + 0.5
    height, width = flow.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    x, y = columns + flow[..., 0], rows + flow[..., 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    trust: Array = np.where(inside, (1 - error / limit).clip(0, 1), 0).astype(np.float32)
    return trust
