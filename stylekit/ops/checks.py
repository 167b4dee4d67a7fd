"""Validation of the operations' arguments. Every error names the argument."""

from __future__ import annotations

import torch
from torch import Tensor


def maps(name: str, x: Tensor) -> None:
    """Checks that ``x`` is a batch of feature maps.

    Raises:
        TypeError: it is not a tensor, or not of a floating-point type.
        ValueError: it does not have the shape (N, C, H, W), or has no pixels.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a tensor, not {type(x).__name__}.")
    if not x.is_floating_point():
        raise TypeError(f"{name} must have a floating-point type, not {x.dtype}.")
    if x.ndim != 4:
        raise ValueError(f"{name} must have the shape (N, C, H, W), not {tuple(x.shape)}.")
    if x.shape[1] * x.shape[2] * x.shape[3] == 0:
        raise ValueError(f"{name} has no pixels: its shape is {tuple(x.shape)}.")


def per_channel(name: str, values: Tensor, x_name: str, x: Tensor, shapes: tuple[tuple[int, ...], ...]) -> None:
    """Checks that statistics or weights match the feature maps ``x``.

    Raises:
        TypeError: they are not a tensor, or their type is neither x's nor float32.
        ValueError: they have none of the shapes, or are on another device than x.
    """
    same_device(x_name, x, name, values)
    if values.dtype not in (x.dtype, torch.float32):
        raise TypeError(f"{name} must have the type torch.float32, or {x.dtype} like {x_name}, not {values.dtype}.")
    if tuple(values.shape) not in shapes:
        allowed = " or ".join(map(str, dict.fromkeys(shapes)))
        raise ValueError(f"{name} must have the shape {allowed} to match {x_name}, not {tuple(values.shape)}.")


def same_device(x_name: str, x: Tensor, name: str, other: Tensor) -> None:
    """Checks that both tensors are on the same device.

    Raises:
        TypeError: ``other`` is not a tensor.
        ValueError: it is on another device.
    """
    if not isinstance(other, Tensor):
        raise TypeError(f"{name} must be a tensor, not {type(other).__name__}.")
    if other.device != x.device:
        raise ValueError(f"{name} is on {other.device}, but {x_name} is on {x.device}. Move one of them.")


def one_dtype(x_name: str, x: Tensor, name: str, other: Tensor) -> tuple[Tensor, Tensor]:
    """Returns both tensors in one type. Types may differ only under autocast, and are promoted then.

    Raises:
        TypeError: they differ without autocast.
    """
    if x.dtype == other.dtype:
        return x, other
    if not torch.is_autocast_enabled(x.device.type):
        raise TypeError(f"{name} has the type {other.dtype}, but {x_name} has {x.dtype}. Convert one of them.")
    promoted = torch.promote_types(x.dtype, other.dtype)
    return x.to(promoted), other.to(promoted)
