"""Random numbers that depend on where they are used, not on what was drawn before.

Every step, item and rehearsal is seeded by its own address, such as (seed, "step", 17, rank). There is no random state to
save: a resumed run, or a run with another number of workers, draws the same numbers.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import numpy as np

__all__ = ["derive", "repeatable", "seeded"]


_lock = threading.RLock()
"""All threads of the process share the generators, so only one thread may run a seeded block at a time."""


def _reset_lock() -> None:
    """Creates a new lock in a forked process, where a lock that another thread held would never be released."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_lock)


def derive(*address: int | str) -> int:
    """Returns a 63-bit seed for an address; different addresses have unrelated seeds."""
    digest = hashlib.blake2b(repr(address).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@contextlib.contextmanager
def seeded(*address: int | str) -> Iterator[None]:
    """Seeds torch, NumPy and ``random`` with an address within the block, and restores their states after it."""
    import torch

    seed = derive(*address)
    with _restored():
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        yield


def repeatable() -> Callable[[], AbstractContextManager[None]]:
    """Remembers the states of torch, NumPy and ``random``.

    Returns:
        A function that opens a block in which the same numbers are drawn as after this call. The states are restored after it.
    """
    import torch

    python, numpy, here = random.getstate(), np.random.get_state(), torch.get_rng_state()
    there = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None

    @contextlib.contextmanager
    def again() -> Iterator[None]:
        with _restored():
            random.setstate(python)
            np.random.set_state(numpy)
            torch.set_rng_state(here)
            if there is not None:
                torch.cuda.set_rng_state(there)
            yield

    return again


@contextlib.contextmanager
def _restored() -> Iterator[None]:
    """Restores the states of torch, NumPy and ``random`` after the block, where no other thread draws."""
    import torch

    with _lock:
        python, numpy = random.getstate(), np.random.get_state()
        devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
        with torch.random.fork_rng(devices):
            try:
                yield
            finally:
                random.setstate(python)
                np.random.set_state(numpy)
