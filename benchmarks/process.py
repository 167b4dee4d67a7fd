"""The memory of this process."""

from __future__ import annotations

from pathlib import Path


def resident(key: str) -> float:
    """Megabytes of this process: ``VmRSS`` is the current size, ``VmHWM`` the peak (getrusage would include the parent)."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[key].split()[0]) / 1024
