"""Access to the compiled kernels: whether they support a tensor, and the registration of their operations with torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from stylekit.native import kernels

KERNELS = kernels.load_kernels()
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def takes(x: Tensor) -> bool:
    """Whether the kernels support this tensor in the current context."""
    if not KERNELS.live or x.dtype not in DTYPES or _is_transformed() or torch.compiler.is_exporting():
        return False
    # CUDA kernels are compiled for sm_80 and newer.
    return x.device.type == "cpu" or (
        x.is_cuda and KERNELS.cuda and torch.cuda.get_device_properties(x.device).major >= 8
    )


def _is_transformed() -> bool:
    """Whether forward-mode differentiation or torch.func is active. These support only torch's own operations."""
    if torch.compiler.is_compiling():
        return False
    level: int = getattr(torch.autograd.forward_ad, "_current_level", -1)
    return level >= 0 or _transforms() is not None


# Not public API. If a torch version lacks it, torch itself reports what it cannot differentiate.
_transforms = getattr(torch._C._functorch, "peek_interpreter_stack", lambda: None)


def differentiable_gradients(
    function: Callable[..., Tensor], grad: Tensor, *inputs: Tensor | None
) -> list[Tensor | None]:
    """The gradients of ``function(*inputs)`` for the inputs that require one, which can be differentiated again.

    The function is called with aliases of the inputs, at which backpropagation stops. Otherwise the gradient of one input
    would contain that of another input that is computed from it.
    """
    aliases = [None if tensor is None else tensor.view_as(tensor) for tensor in inputs]
    differentiated = [alias for alias in aliases if alias is not None and alias.requires_grad]
    if not differentiated:
        return [None] * len(inputs)
    grads = iter(torch.autograd.grad(function(*aliases), differentiated, grad, create_graph=True))
    return [next(grads) if alias is not None and alias.requires_grad else None for alias in aliases]


def register(
    name: str,
    fake: Callable[..., Any],
    setup: Callable[..., None] | None = None,
    backward: Callable[..., Any] | None = None,
) -> None:
    """Registers with torch the shapes that a kernel returns, for tracing, and its gradient."""
    if not KERNELS.live:
        return
    torch.library.register_fake(f"stylekit::{name}", fake)
    if backward is not None:
        torch.library.register_autograd(f"stylekit::{name}", backward, setup_context=setup)


def ensure_contiguous(x: Tensor) -> Tensor:
    """The tensor itself if it is contiguous or channels-last, as the kernels require it, otherwise a contiguous copy."""
    return x if x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last) else x.contiguous()
