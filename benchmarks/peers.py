"""The kernels' operations as usually written in PyTorch, for comparison with the kernels.

Variances are divided by the number of pixels, as in the kernels, so that all implementations compute the same.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

EPS = 1e-5


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every channel, with dimensions kept for broadcasting."""
    return x.mean((2, 3), keepdim=True), (x.var((2, 3), correction=0, keepdim=True) + EPS).sqrt()


def adain(content: Tensor, style: Tensor) -> Tensor:
    mean, std = moments(content)
    style_mean, style_std = moments(style)
    return (content - mean) / std * style_std + style_mean


def adain_on_instance_norm(content: Tensor, style: Tensor) -> Tensor:
    mean, std = moments(style)
    return F.instance_norm(content, eps=EPS) * std + mean


def instance_norm_relu(x: Tensor) -> Tensor:
    mean, std = moments(x)
    return F.relu((x - mean) / std)


def torch_instance_norm_relu(x: Tensor) -> Tensor:
    return F.relu(F.instance_norm(x, eps=EPS))


def gram(x: Tensor) -> Tensor:
    rows = x.flatten(2)
    return torch.bmm(rows, rows.transpose(1, 2)) / x.shape[1:].numel()


def gram_mse(x: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(gram(x), target)


def summed(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """The style loss: a layer's loss, summed over layers. The arguments are the features of all layers, then all targets."""

    def style_loss(*tensors: Tensor) -> Tensor:
        layers = len(tensors) // 2
        losses = [loss(*pair) for pair in zip(tensors[:layers], tensors[layers:], strict=True)]
        return torch.stack(losses).sum()

    return style_loss
