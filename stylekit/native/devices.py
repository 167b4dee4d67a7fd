"""The devices of this machine, and their free memory."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import torch

from stylekit.errors import StylekitError, suggest
from stylekit.native.memory import free_cpu_memory


def pick_device(device: str | torch.device) -> torch.device:
    """The device of that name, such as ``cuda:1``; ``auto`` selects the first available one of cuda, mps and cpu.

    Raises:
        StylekitError: the device is unknown or not available.
    """
    counts = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available()), "cpu": 1}
    if device == "auto":
        return torch.device(next(name for name, count in counts.items() if count))
    name, colon, number = str(device).partition(":")
    if name not in counts or (colon and not re.fullmatch("[0-9]{1,3}", number)):
        raise StylekitError(f"There is no device {str(device)!r}. {suggest(name, ['auto', *counts])}")
    if not counts[name]:
        reason = (
            "this build of torch has no CUDA" if name == "cuda" and torch.version.cuda is None else "torch finds none"
        )
        raise StylekitError(f"The device {name!r} is not available: {reason}. Omit --device, or use --device cpu.")
    if int(number or 0) >= counts[name]:
        raise StylekitError(
            f"There is no device {str(device)!r}: torch finds {counts[name]} of {name}, counted from 0."
        )
    return torch.device(device)


@functools.cache
def computes_bf16(device: torch.device) -> bool:
    """Whether the device is a CPU with instructions for bfloat16 (AVX512-BF16 or AMX). False if not on Linux."""
    cpuinfo = Path("/proc/cpuinfo")
    if device.type != "cpu" or not cpuinfo.exists():
        return False
    flags = next((line.split() for line in cpuinfo.read_text().splitlines() if line.startswith("flags")), [])
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags)


def free_memory(device: torch.device) -> int:
    """The free memory of the device in bytes; for a CPU, see :func:`stylekit.native.memory.free_cpu_memory`."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return free_cpu_memory()
