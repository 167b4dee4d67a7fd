"""Sets up the program's process: its output, and what must be set before torch is imported."""

from __future__ import annotations

import io
import os
import sys

from stylekit.native.malloc import keep_freed_memory

_CHOSEN = ("GLIBC_TUNABLES", "MALLOC_")
"""Prefixes of the environment variables by which a user configures malloc."""


def prepare() -> None:
    """Applies settings that make computations faster, unless the user has chosen others, and prints any character."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # escapes what the terminal's encoding does not have
    # Waiting threads that spin make two busy programs on one machine ten times slower each. torch reads this on import.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if sys.platform == "linux" and not any(name.startswith(_CHOSEN) for name in os.environ):
        keep_freed_memory()
