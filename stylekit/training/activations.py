"""Gradients with less memory: features are not kept, but computed again when they are needed."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrize import is_parametrized
from torch.utils.checkpoint import checkpoint

LAYERS = 6
"""Number of layers from which a sequence is worth it."""


def checkpoint_sequences(network: nn.Module) -> int:
    """Lets the sequences of layers in a network keep only some of their features for gradients; returns how many do.

    Of n layers, about the square root of n keep theirs (Chen et al. 2016, "Training deep nets with sublinear memory cost").
    Sequences with batch norm or spectral norm are left as they are, because computing them again changes their state.
    """
    count = 0
    for module in list(network.children()):
        if type(module) is nn.Sequential and len(module) >= LAYERS and not any(map(_has_state, module.modules())):
            module.forward = partial(_forward, module)  # type: ignore[method-assign]
            count += 1
        else:
            count += checkpoint_sequences(module)
    return count


def _has_state(module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm) or is_parametrized(module)


def _forward(layers: nn.Sequential, x: Tensor) -> Tensor:
    if not torch.is_grad_enabled():
        return _run(list(layers), x)
    step = math.isqrt(len(layers) - 1) + 1
    for start in range(0, len(layers), step):
        x = checkpoint(_run, list(layers)[start : start + step], x, use_reentrant=False)
    return x


def _run(layers: list[nn.Module], x: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x)
    return x
