"""How much memory a picture will need, before it is tried."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

MARGIN = 1.5
"""Workspace of the convolutions, which no tensor shows."""


class PeakBytes(TorchDispatchMode):
    """Counts the bytes of all storages that are alive at once within the block; ``peak`` is the most."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive, self.peak = 0, 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_iter(result):
            if isinstance(tensor, Tensor):
                self._note(tensor.untyped_storage())
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.alive += size
        self.peak = max(self.peak, self.alive)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.alive -= size


def needed_bytes(stylize: Callable[[Tensor], Tensor], height: int, width: int, probe: int = 128) -> int:
    """About how many bytes ``stylize`` needs for an image of that size, scaled up from a small probe.

    Args:
        stylize: takes and gives ``(1, 3, H, W)``
        height: rows of the image
        width: columns of the image
        probe: side of the probe
    """
    with torch.inference_mode(), PeakBytes() as count:
        stylize(torch.zeros(1, 3, probe, probe))
    return int(MARGIN * count.peak * height * width / probe**2)


def free_memory(device: torch.device) -> int:
    """Bytes that are free on the device, or on this machine for a CPU."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return 2**62  # unknown: no reason to refuse
