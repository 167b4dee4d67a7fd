"""The way to the compiled kernels: whether they take a tensor, and what every operation of theirs is registered with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from stylekit.native import kernels

KERNELS = kernels.load_kernels()
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def takes(x: Tensor) -> bool:
    """Whether there is a kernel for this tensor, as it is used here."""
    if not KERNELS.live or x.dtype not in DTYPES or _is_transformed():
        return False
    # CUDA kernels are compiled for sm_80 and newer.
    return x.device.type == "cpu" or (
        x.is_cuda and KERNELS.cuda and torch.cuda.get_device_properties(x.device).major >= 8
    )


def _is_transformed() -> bool:
    """Whether forward-mode differentiation or torch.func is at work, which see through torch's own operations only."""
    if torch.compiler.is_compiling():
        return False
    level: int = getattr(torch.autograd.forward_ad, "_current_level", -1)
    return level >= 0 or _transforms() is not None


# Not public; a torch that drops it has its own way to tell of what it cannot differentiate.
_transforms = getattr(torch._C._functorch, "peek_interpreter_stack", lambda: None)


def differentiable_gradients(
    function: Callable[..., Tensor], grad: Tensor, *inputs: Tensor | None
) -> list[Tensor | None]:
    """The gradients of ``function(*inputs)`` for the inputs that need one, which may be differentiated again.

    The function sees aliases: gradients stop there, though one input may be computed from another.
    """
    aliases = [None if given is None else given.view_as(given) for given in inputs]
    asked = [alias for alias in aliases if alias is not None and alias.requires_grad]
    if not asked:
        return [None] * len(inputs)
    grads = iter(torch.autograd.grad(function(*aliases), asked, grad, create_graph=True))
    return [next(grads) if alias is not None and alias.requires_grad else None for alias in aliases]


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
