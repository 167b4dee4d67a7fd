"""The way to the compiled kernels: whether they take a tensor, and what every operation of theirs is registered with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from stylekit import kernels

KERNELS = kernels.load()
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def takes(x: Tensor) -> bool:
    """Whether there is a kernel for this tensor."""
    if not KERNELS.live or x.dtype not in DTYPES:
        return False
    # CUDA kernels are compiled for sm_80 and newer.
    return x.device.type == "cpu" or (
        x.is_cuda and KERNELS.cuda and torch.cuda.get_device_properties(x.device).major >= 8
    )


def register(
    name: str,
    fake: Callable[..., Any],
    setup: Callable[..., None] | None = None,
    backward: Callable[..., Any] | None = None,
) -> None:
    """Tells torch the shapes that a kernel returns, for tracing, and its gradient."""
    if not KERNELS.live:
        return
    torch.library.register_fake(f"stylekit::{name}", fake)
    if backward is not None:
        torch.library.register_autograd(f"stylekit::{name}", backward, setup_context=setup)


def without_gaps(x: Tensor) -> Tensor:
    """As the kernels read it: as it is if contiguous or channels-last, else copied."""
    return x if x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last) else x.contiguous()
