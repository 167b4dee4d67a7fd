"""Mean and standard deviation of every channel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from stylekit.ops import checks, kernel, reference


def channel_stats(x: Tensor, eps: float = 1e-5) -> tuple[Tensor, Tensor]:
    """The mean and the standard deviation of every channel of every sample, over its pixels.

    The variance is the biased one, divided by the number of pixels, and ``eps`` is added to it before the square root, as
    in Huang and Belongie 2017, equations 5 and 6. It is computed from differences from the mean, to avoid cancellation.

    Args:
        x: feature maps ``(N, C, H, W)`` of at least one pixel
        eps: added to the variance

    Returns:
        Mean and standard deviation, ``(N, C)`` each, in float32, or float64 if x is.

    Raises:
        TypeError: x is not a tensor of a floating-point type.
        ValueError: x does not have that shape.
    """
    checks.maps("x", x)
    if kernel.takes(x):
        mean, std = torch.ops.stylekit.channel_stats.default(x, eps)
        return mean, std
    return reference.channel_stats(x, eps)


def _fake(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    mean = x.new_empty(x.shape[:2], dtype=torch.float32)
    return mean, torch.empty_like(mean)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(inputs[0], *output)


def _backward(ctx: Any, grad_mean: Tensor, grad_std: Tensor) -> tuple[Tensor, None]:
    x, mean, std = ctx.saved_tensors
    if torch.is_grad_enabled():  # a second derivative may follow
        pixels = x.shape[2] * x.shape[3]
        centred = reference.wide(x) - reference.per_plane(mean)
        grad = (reference.per_plane(grad_mean) + reference.per_plane(grad_std / std) * centred) / pixels
        return grad.to(x.dtype), None
    return torch.ops.stylekit.channel_stats_backward.default(grad_mean, grad_std, x, mean, std), None


def _backward_fake(grad_mean: Tensor, grad_std: Tensor, x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return torch.empty_like(kernel.ensure_contiguous(x))


kernel.register("channel_stats", _fake, _setup, _backward)
kernel.register("channel_stats_backward", _backward_fake)
