"""Process-wide switches that a part must not change: changes within a block are reported and undone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.backends import cudnn


def _set_device(device: torch.device) -> None:
    torch.set_default_device(None if device == torch.device("cpu") else device)


def _flag(name: str) -> tuple[Callable[[], Any], Callable[[Any], object]]:
    return lambda: getattr(cudnn, name), lambda value: setattr(cudnn, name, value)


_SWITCHES: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "torch's default type": (torch.get_default_dtype, torch.set_default_dtype),
    "torch's default device": (torch.get_default_device, _set_device),
    "torch's grad mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch's number of threads": (torch.get_num_threads, torch.set_num_threads),
    "torch's deterministic algorithms": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    "torch's float32_matmul_precision": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "torch's detection of anomalies": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "torch's cudnn.benchmark": _flag("benchmark"),
    "torch's cudnn.deterministic": _flag("deterministic"),
    "torch's cudnn.enabled": _flag("enabled"),
    "the working directory": (os.getcwd, os.chdir),
}


def switches() -> dict[str, Any]:
    """The value of each switch, by its name in messages."""
    return {name: get() for name, (get, _) in _SWITCHES.items()}


@contextlib.contextmanager
def changed_and_put_back() -> Iterator[list[str]]:
    """Restores the switches after the block, and then adds those that it changed to the list that it yields."""
    changed: list[str] = []
    before = switches()
    try:
        yield changed
    finally:
        for name, value in switches().items():
            if value != before[name]:
                changed.append(name)
                _SWITCHES[name][1](before[name])
