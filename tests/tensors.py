"""Tensors for tests."""

from __future__ import annotations

import torch
from torch import Tensor


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Uniform random numbers in [0, 1), the same for every call."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))
