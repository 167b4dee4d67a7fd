"""The operations in plain torch: the reference that the kernels are tested against, and the fallback without them.

The functions have the names and arguments of those in :mod:`stylekit.ops`, which validate the arguments.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary


def wide(x: Tensor) -> Tensor:
    """The tensor in float32 if it has half precision, otherwise unchanged."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def per_plane(values: Tensor) -> Tensor:
    """Reshapes ``(C,)`` or ``(N, C)`` to ``(1 or N, C, 1, 1)``, which broadcasts over the pixels."""
    return (values if values.ndim == 2 else values[None])[:, :, None, None]


def without_autocast(x: Tensor) -> AbstractContextManager[None]:
    """Disables autocast, if the device supports it; an exported graph has none."""
    device = x.device.type
    supported = torch.amp.is_autocast_available(device) and not torch.compiler.is_exporting()
    return torch.autocast(device, enabled=False) if supported else nullcontext()


def channel_stats(x: Tensor, eps: float = 1e-5) -> tuple[Tensor, Tensor]:
    mean = wide(x).mean((2, 3))
    variance = (wide(x) - per_plane(mean)).square().mean((2, 3))
    return mean, (variance + eps).sqrt()


def normalize(
    x: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    residual: Tensor | None,
    eps: float,
    alpha: float,
    slope: float,
) -> Tensor:
    """``act(alpha * (scale * xhat + shift) + (1 - alpha) * x + residual)``; act multiplies negative values by slope."""
    with without_autocast(x):
        # A group norm with one channel per group is an instance norm. torch's instance norm uses batch norm, which is
        # slower. The channels-last group norm computes the variance from sums of squares, which cancel.
        y = torch.group_norm(wide(x).contiguous(), x.shape[1], None, None, eps)
        if x.stride(1) == 1 and not x.is_contiguous():
            y = y.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
        if scale is not None:
            y = y * per_plane(scale)
        if shift is not None:
            y = y + per_plane(shift)
        if isinstance(alpha, Tensor) or alpha != 1:  # the input of an exported graph can have any value
            y = torch.lerp(wide(x), y, alpha)
        return finished(y, residual, slope).to(x.dtype)


def finished(y: Tensor, residual: Tensor | None, slope: float) -> Tensor:
    """What follows a normalisation: the residual is added, and negative values are multiplied by the slope."""
    if residual is not None:
        y = y + residual
    if slope != 1:
        y = F.leaky_relu(y, slope) if slope else F.relu(y)
    return y


def adain_with(content: Tensor, mean: Tensor, std: Tensor, eps: float = 1e-5, alpha: float = 1.0) -> Tensor:
    return normalize(content, std, mean, None, eps, alpha, 1.0)


def adain(content: Tensor, style: Tensor, eps: float = 1e-5, alpha: float = 1.0) -> Tensor:
    return adain_with(content, *channel_stats(style, eps), eps, alpha)


def instance_norm(
    x: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    activation: str = "none",
    residual: Tensor | None = None,
    negative_slope: float = 0.2,
) -> Tensor:
    return normalize(x, weight, bias, residual, eps, 1.0, slope_of(activation, negative_slope))


def slope_of(activation: str, negative_slope: float) -> float:
    """The factor of negative values: 1 for ``none``, 0 for ``relu``, ``negative_slope`` for ``leaky_relu``."""
    return {"none": 1.0, "relu": 0.0}.get(activation, negative_slope)


def gram_matrix(features: Tensor, normalize: bool = True) -> Tensor:
    if has_torch_function_unary(
        features
    ):  # as with torch's own functions and the kernels, a mode may replace the result
        gram: Tensor = handle_torch_function(gram_matrix, (features,), features, normalize)
        return gram
    scale = gram_scale(features, normalize)
    with without_autocast(features):
        # Scaled before summation, and summed in parts: a float32 sum over a million pixels loses four digits.
        flat = wide(features).flatten(2)
        # An exported graph is for all sizes, so it cannot have a part for each 16,384 pixels.
        parts = [flat] if torch.compiler.is_exporting() else flat.split(2**14, dim=2)
        return torch.stack([part @ (part * scale).transpose(1, 2) for part in parts]).sum(0)


def gram_scale(features: Tensor, normalize: bool) -> float:
    return 1.0 / math.prod(features.shape[1:]) if normalize else 1.0


def gram_mse(features: Tensor, target_gram: Tensor) -> Tensor:
    gram = gram_matrix(features)
    return F.mse_loss(gram, target_gram.to(gram.dtype).expand_as(gram))
