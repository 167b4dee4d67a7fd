"""What the program asks of its own process, before torch is imported."""

from __future__ import annotations

import os
import sys

from stylekit.native.malloc import keep_freed_memory

_CHOSEN = ("GLIBC_TUNABLES", "MALLOC_")
"""What variables begin with by which a user says how memory is to be kept."""


def prepare() -> None:
    """Sets what makes computing quicker, except where the user has chosen otherwise."""
    # Threads that wait by spinning make two busy programs on one machine ten times slower each. Read as torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if sys.platform == "linux" and not any(name.startswith(_CHOSEN) for name in os.environ):
        keep_freed_memory()
