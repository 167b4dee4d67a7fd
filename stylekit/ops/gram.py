"""Gram matrices, and the style loss on them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stylekit.ops import checks, kernel, reference

PIXELS = 1 << 16
"""The number of pixels whose gradient is computed at once for features in half precision: all in float32 would take much
memory."""


def gram_matrix(features: Tensor, normalize: bool = True) -> Tensor:
    """The products of all pairs of channels, averaged over the pixels: ``F F^T / (C H W)``, with F as ``(C, H W)``.

    Source: Gatys et al. 2016, equation 3, with the scale of Johnson et al. 2016, equation 4.

    Args:
        features: feature maps ``(N, C, H, W)``
        normalize: whether to divide by C H W

    Returns:
        ``(N, C, C)``, symmetric, in float32, or float64 if the features are.

    Raises:
        TypeError: the features are not a tensor of a floating-point type.
        ValueError: they do not have that shape.
    """
    checks.maps("features", features)
    if kernel.takes(features):
        gram: Tensor = torch.ops.stylekit.gram.default(features, normalize)
        return gram
    return reference.gram_matrix(features, normalize)


def gram_mse(features: Tensor, target_gram: Tensor) -> Tensor:
    """The style loss of one layer: the mean squared difference between the features' Gram matrix and a target.

    Source: Johnson et al. 2016, equation 5, as a mean instead of a sum.

    Args:
        features: feature maps ``(N, C, H, W)``
        target_gram: as :func:`gram_matrix` returns it, ``(N, C, C)``, or ``(1, C, C)`` or ``(C, C)`` for all samples

    Returns:
        A scalar, in float32, or float64 if the features are.

    Raises:
        TypeError: an argument is not a tensor of a floating-point type.
        ValueError: a shape is wrong, or the tensors are on different devices.
    """
    checks.maps("features", features)
    samples, channels = features.shape[:2]
    shapes = ((samples, channels, channels), (1, channels, channels), (channels, channels))
    checks.per_channel("target_gram", target_gram, "features", features, shapes)
    gram = gram_matrix(features)
    return F.mse_loss(gram, target_gram.to(gram.dtype).expand_as(gram))


def _fake(x: Tensor, normalize: bool) -> Tensor:
    return x.new_empty((x.shape[0], x.shape[1], x.shape[1]), dtype=torch.float32)


def _setup(ctx: Any, inputs: tuple[Tensor, bool], output: Tensor) -> None:
    x, ctx.normalize = inputs
    ctx.save_for_backward(x)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    (x,) = ctx.saved_tensors
    symmetric = (grad + grad.transpose(1, 2)) * reference.gram_scale(x, ctx.normalize)
    with reference.without_autocast(x):
        if x.dtype == symmetric.dtype:
            return _gradient(x, symmetric), None
        grad_x, rows = torch.empty_like(x), max(1, PIXELS // x.shape[3])
        for some, grad_some in zip(x.split(rows, 2), grad_x.split(rows, 2), strict=True):
            grad_some.copy_(_gradient(reference.wide(some), symmetric))
    return grad_x, None


def _gradient(x: Tensor, symmetric: Tensor) -> Tensor:
    if x.is_contiguous():
        return torch.bmm(symmetric, x.flatten(2)).view(x.shape)
    pixels = x.permute(0, 2, 3, 1)  # as pixels x channels, so that the gradient is channels-last as well
    return torch.bmm(pixels.flatten(1, 2), symmetric).view(pixels.shape).permute(0, 3, 1, 2)


kernel.register("gram", _fake, _setup, _backward)
