"""The devices of this machine, and their free memory."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from pathlib import Path

import torch

from stylekit.errors import StylekitError, suggest


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
    """The free memory of the device in bytes; for a CPU, that of the machine, within the limits of cgroups.

    Without ``/proc/meminfo``, all memory of the machine; 2**62 if unknown.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return min(int(lines["MemAvailable"].split()[0]) * 1024, *_cgroup_headroom(), 2**62)
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return 2**62  # if unknown, nothing is refused


def _cgroup_headroom(root: Path = Path("/")) -> Iterator[int]:
    """The bytes left under each cgroup memory limit of this process, those of parent groups included."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        files = ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
        inner = mount / group.strip("/")
        for folder in (folder for folder in (inner, *inner.parents) if folder.is_relative_to(mount)):
            limit, usage = (_read(folder / file).strip() for file in files)
            if limit.isdecimal() and usage.isdecimal():
                yield max(0, int(limit) - int(usage) + _reclaimable(folder))


def _reclaimable(folder: Path) -> int:
    """The inactive page cache in bytes, which counts as used, but is reclaimed on demand."""
    stat = dict(line.split() for line in _read(folder / "memory.stat").splitlines())
    return int(stat.get("total_inactive_file", stat.get("inactive_file", 0)))


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
