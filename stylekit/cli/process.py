"""What the program asks of its own process, before torch is imported."""

from __future__ import annotations

import contextlib
import os
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Parameters of mallopt, from glibc's malloc.h."""
_CHOSEN = ("GLIBC_TUNABLES", "MALLOC_")
"""What variables begin with by which a user says how memory is to be kept."""


def prepare() -> None:
    """Sets what makes computing quicker, except where the user has chosen otherwise."""
    # Threads that wait by spinning make two busy programs on one machine ten times slower each. Read as torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if sys.platform == "linux" and not any(name.startswith(_CHOSEN) for name in os.environ):
        _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Keeps what is freed for the next tensor.

    glibc gives large blocks back at once, and the kernel clears every page of the next one anew, which takes longer than
    most arithmetic on it: pictures of 1024 x 1024 pixels take a quarter less time without it, training steps a tenth.
    """
    with contextlib.suppress(ImportError, OSError, AttributeError):  # mallopt is glibc's
        import ctypes

        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, -1)
