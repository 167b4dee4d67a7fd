"""AdaIN and instance normalisation: every channel gets a given mean and standard deviation, in one fused kernel."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from stylekit.ops import checks, kernel, reference

Activation = Literal["none", "relu", "leaky_relu"]


def adain(content: Tensor, style: Tensor, eps: float = 1e-5, alpha: float = 1.0) -> Tensor:
    """Adaptive instance normalisation: the content's features with the channel statistics of the style's.

    Source: Huang and Belongie 2017, equation 8, and equation 14 for alpha.

    Args:
        content: feature maps ``(N, C, H, W)``
        style: feature maps ``(N, C, H', W')`` of any size, or ``(1, C, H', W')`` for one style for all samples
        eps: added to both variances
        alpha: from 0, which keeps the content's statistics, to 1 for the style's

    Returns:
        Feature maps of the content's shape, type and layout.

    Raises:
        TypeError: an argument is not a tensor of a floating-point type, or their types differ.
        ValueError: a shape is wrong, or the tensors are on different devices.
    """
    checks.maps("content", content)
    checks.maps("style", style)
    checks.same_device("content", content, "style", style)
    content, style = checks.one_dtype("content", content, "style", style)
    if style.shape[1] != content.shape[1] or style.shape[0] not in (1, content.shape[0]):
        raise ValueError(
            f"style has the shape {tuple(style.shape)}, but must have {content.shape[1]} channels like content, and "
            f"{content.shape[0]} samples or 1."
        )
    if kernel.takes(content):
        y: Tensor = torch.ops.stylekit.adain.default(content, style, eps, alpha)[0]
        return y
    return reference.adain(content, style, eps, alpha)


def adain_with(
    content: Tensor, mean: Tensor, std: Tensor, eps: float = 1e-5, alpha: float = 1.0, unbiased: bool = False
) -> Tensor:
    """AdaIN with given statistics, for example of a style file, or of a whole image for one of its tiles.

    Args:
        content: feature maps ``(N, C, H, W)``
        mean: mean of the style's channels, ``(N, C)``, or ``(1, C)`` or ``(C,)`` for all samples
        std: their standard deviation, as :func:`channel_stats` returns it, with mean's shape
        eps: added to the content's variance
        alpha: from 0, which keeps the content's statistics, to 1 for the style's
        unbiased: divide the content's variance by the number of pixels minus one, as that of ``std`` was

    Returns:
        Feature maps of the content's shape, type and layout.

    Raises:
        TypeError: an argument is not a tensor, or its type does not match the content's.
        ValueError: a shape is wrong, or the tensors are on different devices.
    """
    checks.maps("content", content)
    samples, channels = content.shape[:2]
    shapes = ((samples, channels), (1, channels), (channels,))
    checks.per_channel("mean", mean, "content", content, shapes)
    checks.per_channel("std", std, "content", content, (tuple(mean.shape),))
    if unbiased:  # eps itself must not be multiplied by the factor on the variance, so it is divided by it first
        pixels = content.shape[2] * content.shape[3]
        factor = pixels / max(pixels - 1, 1)
        std, eps = std / factor**0.5, eps / factor
    return _normalize(content, std, mean, None, eps, alpha, 1.0)


def instance_norm(
    x: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    activation: Activation = "none",
    residual: Tensor | None = None,
    negative_slope: float = 0.2,
) -> Tensor:
    """Instance normalisation with what usually follows it: ``activation(weight * xhat + bias + residual)``.

    Source: Ulyanov et al. 2016. Unlike torch's, it accepts maps of a single pixel, for which xhat is 0.

    Args:
        x: feature maps ``(N, C, H, W)``
        weight: factor of each channel, ``(C,)``, or ``(N, C)`` for one per sample; 1 if omitted
        bias: added to each channel, ``(C,)`` or ``(N, C)``, with weight's shape; 0 if omitted
        eps: added to the variance
        activation: ``none``, ``relu`` or ``leaky_relu``
        residual: added before the activation; has x's shape
        negative_slope: slope of ``leaky_relu`` below 0; at least 0

    Returns:
        Feature maps of x's shape and layout, and its type, or under autocast the wider type of x and residual.

    Raises:
        TypeError: an argument is not a tensor, or its type does not match x's.
        ValueError: a shape is wrong, the tensors are on different devices, the activation is unknown, or the slope is
            negative.
    """
    checks.maps("x", x)
    samples, channels = x.shape[:2]
    shapes = ((channels,), (samples, channels))
    if weight is not None:
        checks.per_channel("weight", weight, "x", x, shapes)
    if bias is not None:
        checks.per_channel("bias", bias, "x", x, shapes if weight is None else (tuple(weight.shape),))
    if residual is not None:
        checks.same_device("x", x, "residual", residual)
        x, residual = checks.one_dtype("x", x, "residual", residual)
        if residual.shape != x.shape:
            raise ValueError(f"residual must have x's shape {tuple(x.shape)}, not {tuple(residual.shape)}.")
    if negative_slope < 0:
        raise ValueError(f"negative_slope must be at least 0, not {negative_slope}.")
    if activation not in get_args(Activation):
        raise ValueError(f"Unknown activation {activation!r}. Use one of {', '.join(get_args(Activation))}.")
    return _normalize(x, weight, bias, residual, eps, 1.0, reference.slope_of(activation, negative_slope))


def _normalize(
    x: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    residual: Tensor | None,
    eps: float,
    alpha: float,
    slope: float,
) -> Tensor:
    if kernel.takes(x):
        y: Tensor = torch.ops.stylekit.normalize.default(x, scale, shift, residual, eps, alpha, slope)[0]
        return y
    return reference.normalize(x, scale, shift, residual, eps, alpha, slope)


def _fake(
    x: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    residual: Tensor | None,
    eps: float,
    alpha: float,
    slope: float,
) -> tuple[Tensor, Tensor, Tensor]:
    mean = x.new_empty(x.shape[:2], dtype=torch.float32)
    return torch.empty_like(kernel.ensure_contiguous(x)), mean, torch.empty_like(mean)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    x, scale, shift, residual, ctx.eps, ctx.alpha, ctx.slope = inputs
    y, mean, rstd = output
    ctx.mark_non_differentiable(mean, rstd)
    # The activation's mask is the sign of the output. Without a residual it is computed again from x.
    masked = residual is not None and ctx.slope != 1
    ctx.has_residual = residual is not None
    ctx.save_for_backward(x, scale, shift, y if masked else None, mean, rstd)


def _backward(ctx: Any, grad_y: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    x, scale, shift, y, mean, rstd = ctx.saved_tensors
    if torch.is_grad_enabled():
        return _differentiable_backward(ctx, grad_y)
    grad_x, grad_residual, grad_scale, grad_shift = torch.ops.stylekit.normalize_backward.default(
        grad_y, x, y, mean, rstd, scale, shift, ctx.alpha, ctx.slope
    )
    if y is None:
        grad_residual = grad_y if ctx.has_residual else None
    return grad_x, _shaped(grad_scale, scale), _shaped(grad_shift, shift), grad_residual, None, None, None


def _shaped(grad: Tensor, like: Tensor | None) -> Tensor | None:
    return None if like is None else grad.sum_to_size(like.shape).to(like.dtype)


def _differentiable_backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
    x, scale, shift, y, _, _ = ctx.saved_tensors
    grad = grad_y
    if ctx.slope != 1:
        with torch.no_grad():
            mask = (reference.normalize(x, scale, shift, None, ctx.eps, ctx.alpha, 1.0) if y is None else y) > 0
        grad = torch.where(mask, grad_y, grad_y * ctx.slope)
    grads = kernel.differentiable_gradients(
        lambda x, scale, shift: reference.normalize(x, scale, shift, None, ctx.eps, ctx.alpha, 1.0),
        grad,
        x,
        scale,
        shift,
    )
    return *grads, grad if ctx.has_residual else None, None, None, None


def _backward_fake(
    grad: Tensor,
    x: Tensor,
    y: Tensor | None,
    mean: Tensor,
    rstd: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    alpha: float,
    slope: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    dense = kernel.ensure_contiguous(x)
    grad_residual = x.new_empty(0) if y is None else torch.empty_like(dense)
    return torch.empty_like(dense), grad_residual, torch.empty_like(mean), torch.empty_like(mean)


def _adain_fake(content: Tensor, style: Tensor, eps: float, alpha: float) -> tuple[Tensor, ...]:
    stats = [x.new_empty(x.shape[:2], dtype=torch.float32) for x in (content, content, style, style)]
    return torch.empty_like(kernel.ensure_contiguous(content)), *stats


def _adain_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    content, style, ctx.eps, ctx.alpha = inputs
    _, *stats = output
    ctx.mark_non_differentiable(*stats)
    ctx.save_for_backward(content, style, *stats)


def _adain_backward(ctx: Any, grad_y: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    content, style, mean, rstd, style_mean, style_std = ctx.saved_tensors
    if torch.is_grad_enabled():  # a second derivative may follow
        grads = kernel.differentiable_gradients(
            lambda content, style: reference.adain(content, style, ctx.eps, ctx.alpha), grad_y, content, style
        )
        return *grads, None, None
    grad_content, _, grad_std, grad_mean = torch.ops.stylekit.normalize_backward.default(
        grad_y, content, None, mean, rstd, style_std, style_mean, ctx.alpha, 1.0
    )
    if not ctx.needs_input_grad[1]:
        return grad_content, None, None, None
    grad_stats = (grad.sum_to_size(style_mean.shape) for grad in (grad_mean, grad_std))
    grad_style = torch.ops.stylekit.channel_stats_backward.default(*grad_stats, style, style_mean, style_std)
    return grad_content, grad_style, None, None


kernel.register("adain", _adain_fake, _adain_setup, _adain_backward)
kernel.register("normalize", _fake, _setup, _backward)
kernel.register("normalize_backward", _backward_fake)
