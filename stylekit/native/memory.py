"""The free memory of this machine. Does not import torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def memory_text(size: float) -> str:
    """A size of memory in bytes as people read it: in GiB, or below one in MiB.

    >>> memory_text(3 * 2**29), memory_text(2**29), memory_text(2**19), memory_text(0)
    ('1.5 GiB', '512 MiB', '0.5 MiB', '0 MiB')
    """
    if size >= 2**30:
        return f"{size / 2**30:.1f} GiB"
    number = size / 2**20
    return f"{round(number, 1 if number < 10 else 0):g} MiB"


def free_cpu_memory() -> int:
    """The free memory of the machine in bytes, within the limits of cgroups.

    Without ``/proc/meminfo``, all memory of the machine; 2**62 if unknown.
    """
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


def process_memory() -> int:
    """The bytes of this process that are in memory; 0 if unknown."""
    fields = dict(line.split(":", 1) for line in _read(Path("/proc/self/status")).splitlines() if ":" in line)
    return int(fields["VmRSS"].split()[0]) * 1024 if "VmRSS" in fields else 0
