"""How much memory a picture will need, before it is tried."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

PROBE = 128
"""Side of the small image that is tried; larger for a network that pads it."""

MARGIN = 1.5
"""Workspace of the convolutions, which no tensor shows."""


class PeakBytes(TorchDispatchMode):
    """Counts the bytes of the storages that come into being within the block and are alive at once; ``peak`` is the most."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive, self.peak = 0, 0
        self._known: set[int] = set()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No code is compiled here, so torch need not import its compiler to stay clear of it, which takes 1.5 s."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self._note((args, kwargs), new=False)  # such as weights, of which the result may be another view
        result = func(*args, **(kwargs or {}))
        self._note(result, new=True)
        return result

    def _note(self, tree: Any, new: bool) -> None:
        for tensor in tree_iter(tree):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self._add(storage, storage.nbytes() if new else 0)

    def _add(self, storage: torch.UntypedStorage, size: int) -> None:
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        self.alive += size
        self.peak = max(self.peak, self.alive)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.alive -= size


def bytes_per_pixel(stylize: Callable[[Tensor], Tensor], probe: int = PROBE) -> float:
    """About how many bytes ``stylize`` needs for each pixel of an image, found out with a small one.

    Args:
        stylize: takes and gives ``(1, 3, H, W)``
        probe: side of the small image
    """
    with torch.inference_mode(), PeakBytes() as count:
        stylize(torch.zeros(1, 3, probe, probe))
    return float(MARGIN * count.peak / probe**2)


def free_memory(device: torch.device) -> int:
    """Bytes that are free on the device, or on this machine for a CPU."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return min(int(lines["MemAvailable"].split()[0]) * 1024, *_left_by_cgroups(), 2**62)
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return 2**62  # unknown: no reason to refuse


def _left_by_cgroups(root: Path = Path("/")) -> Iterator[int]:
    """What each memory limit on this process still leaves: a container's, a job's, and those around it."""
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
    """Bytes of files read long ago, which count as used and are given up when memory is wanted."""
    stat = dict(line.split() for line in _read(folder / "memory.stat").splitlines())
    return int(stat.get("total_inactive_file", stat.get("inactive_file", 0)))


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
