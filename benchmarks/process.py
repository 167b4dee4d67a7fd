"""The memory of this process, and what other commands take."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

STARTER = """
import os, sys, time
silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
start = time.perf_counter()
process = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=silent)
_, status, used = os.wait4(process, 0)
print(time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""Runs a command. It is a small process, because the peak memory of a process is at least that of the one that starts it."""


@dataclass(frozen=True)
class Usage:
    """What a command took.

    Attributes:
        seconds: wall-clock time
        busy: CPU time in seconds
        peak: largest memory in bytes
    """

    seconds: float
    busy: float
    peak: int


def run(command: Sequence[object], folder: Path | None = None) -> Usage:
    """Runs a command without its output, in a folder.

    Raises:
        SystemExit: it fails; what it wrote to its standard error is the message.
    """
    line = [sys.executable, "-S", "-c", STARTER, *map(str, command)]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(line[4:])} failed: {done.stderr}")
    seconds, busy, peak = done.stdout.split()
    return Usage(float(seconds), float(busy), int(peak))


def resident(key: str) -> float:
    """Megabytes of this process: ``VmRSS`` is the current size, ``VmHWM`` the peak (getrusage would include the parent)."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[key].split()[0]) / 1024
