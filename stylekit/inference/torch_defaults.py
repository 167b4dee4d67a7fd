"""Torch's default type and device, which the program around stylekit may have changed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import torch

_lock = threading.Lock()
_users = 0
_changed = torch.float32


@contextlib.contextmanager
def torch_defaults(device: torch.device) -> Iterator[None]:
    """New tensors are float32, on this device and usable by autograd within the block, whatever the defaults and modes are
    around it."""
    same, grad = torch.get_default_device() == device, torch.is_grad_enabled()
    on_device = contextlib.nullcontext() if same else device
    # Leaving the inference mode enables gradients.
    with _float32(), on_device, torch.inference_mode(False), torch.set_grad_enabled(grad):
        yield


@contextlib.contextmanager
def _float32() -> Iterator[None]:
    """The default type belongs to the process, not the thread: the first of several blocks sets it, the last restores it."""
    global _users, _changed
    with _lock:
        _users += 1
        if _users == 1:
            _changed = torch.get_default_dtype()
            torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                torch.set_default_dtype(_changed)
