"""Optical flow: warping an image by it, estimating it, and where it leads to a point that is visible."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from stylekit.errors import StylekitError
from stylekit.images.dis import LEAST, optical_flow

__all__ = ["dis_flow", "visible", "warp"]


def warp(image: Tensor, flow: Tensor, mode: Literal["bilinear", "nearest"] = "bilinear") -> Tensor:
    """Fetches each pixel from where the flow leads: ``output(p) = image(p + flow(p))``.

    So the flow from frame t to frame t - 1 warps frame t - 1 to frame t. Outside the image, the closest border pixel is taken.

    Args:
        image: images ``(N, C, H, W)``
        flow: displacements ``(N, 2, H, W)`` in pixels, to the right and downwards
        mode: interpolation between pixels

    Returns:
        Images ``(N, C, H, W)``.
    """
    height, width = image.shape[-2:]
    x = torch.arange(width, device=flow.device, dtype=flow.dtype) + flow[:, 0]
    y = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None] + flow[:, 1]
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    dtype = torch.promote_types(image.dtype, flow.dtype)
    warped = F.grid_sample(image.to(dtype), grid.to(dtype), mode, padding_mode="border", align_corners=False)
    return warped.to(image.dtype)


def visible(forward: Tensor, backward: Tensor) -> Tensor:
    """Where the point that a pixel shows can be seen in the other frame, too, by the rule of Ruder et al. 2016, section 5.

    With w the flow from this frame to the other, and b the flow back, fetched from where w leads, a pixel is occluded where
    ``|w + b|^2 > 0.01 (|w|^2 + |b|^2) + 0.5``, and at a motion boundary where ``|grad w|^2 > 0.01 |w|^2 + 0.002``.

    Args:
        forward: the flow ``(N, 2, H, W)`` from this frame to the other, in pixels
        backward: the flow from the other frame to this one

    Returns:
        A mask ``(N, 1, H, W)`` of truth values.
    """
    back = warp(backward, forward)
    there, both = _squared(forward), _squared(forward) + _squared(back)
    consistent = _squared(forward + back) <= 0.01 * both + 0.5
    across, down = (F.pad(forward.diff(dim=dim), pad) for dim, pad in ((3, (0, 1)), (2, (0, 0, 0, 1))))
    return consistent & (_squared(across) + _squared(down) <= 0.01 * there + 0.002)


def _squared(vectors: Tensor) -> Tensor:
    return vectors.square().sum(1, keepdim=True)


def dis_flow(first: Tensor, second: Tensor) -> Tensor:
    """Estimates the flow from the first image to the second by DIS (Kroeger et al. 2016) of OpenCV, on the CPU.

    Args:
        first: image ``(1, 3, H, W)`` in [0, 1], of at least 16 x 16 pixels
        second: image of the same size

    Returns:
        The flow ``(1, 2, H, W)`` in pixels.

    Raises:
        StylekitError: OpenCV is not installed, or the images are too small.
    """
    if min(first.shape[-2:]) < LEAST:
        size = f"{first.shape[-1]} x {first.shape[-2]}"
        raise StylekitError(f"Optical flow needs images of at least {LEAST} x {LEAST} pixels, not {size}.")
    flow = optical_flow(*(each[0].permute(1, 2, 0).float().cpu().numpy() for each in (first, second)))
    return torch.from_numpy(flow).permute(2, 0, 1)[None].to(first.device)
