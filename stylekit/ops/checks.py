"""What the operations refuse, in sentences that name the argument."""

from __future__ import annotations

import torch
from torch import Tensor


def maps(name: str, x: Tensor) -> None:
    """Refuses what is not a batch of feature maps.

    Raises:
        TypeError: it is not a tensor, or not of a floating type.
        ValueError: it is not of the shape (N, C, H, W), or has no pixels.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a tensor, and is a {type(x).__name__}.")
    if not x.is_floating_point():
        raise TypeError(f"{name} must be of a floating type, and is of {x.dtype}.")
    if x.ndim != 4:
        raise ValueError(f"{name} must be of the shape (N, C, H, W), and is of {tuple(x.shape)}.")
    if x.shape[1] * x.shape[2] * x.shape[3] == 0:
        raise ValueError(f"{name} has no pixels: it is of the shape {tuple(x.shape)}.")


def per_channel(name: str, values: Tensor, x_name: str, x: Tensor, shapes: tuple[tuple[int, ...], ...]) -> None:
    """Refuses statistics or weights that do not belong to the feature maps ``x``.

    Raises:
        TypeError: they are not a tensor, or of another type than x's or float32.
        ValueError: they are not of one of the shapes, or on another device than x.
    """
    same_device(x_name, x, name, values)
    if values.dtype not in (x.dtype, torch.float32):
        raise TypeError(f"{name} is of {values.dtype}, and must be of float32 or as {x_name}, {x.dtype}.")
    if tuple(values.shape) not in shapes:
        wanted = " or ".join(map(str, dict.fromkeys(shapes)))
        raise ValueError(f"{name} is of the shape {tuple(values.shape)}, and must be of {wanted} for this {x_name}.")


def same_device(x_name: str, x: Tensor, name: str, other: Tensor) -> None:
    """Refuses two tensors on two devices.

    Raises:
        TypeError: the other is not a tensor.
        ValueError: it is on another device.
    """
    if not isinstance(other, Tensor):
        raise TypeError(f"{name} must be a tensor, and is a {type(other).__name__}.")
    if other.device != x.device:
        raise ValueError(f"{name} is on {other.device}, and {x_name} on {x.device}: move one of them.")


def one_dtype(x_name: str, x: Tensor, name: str, other: Tensor) -> tuple[Tensor, Tensor]:
    """Both in one type: they must be already, except under autocast, which mixes types, and promotes them here as well.

    Raises:
        TypeError: they differ.
    """
    if x.dtype == other.dtype:
        return x, other
    if not torch.is_autocast_enabled(x.device.type):
        raise TypeError(f"{name} is of {other.dtype}, and {x_name} of {x.dtype}: they must be the same.")
    both = torch.promote_types(x.dtype, other.dtype)
    return x.to(both), other.to(both)
