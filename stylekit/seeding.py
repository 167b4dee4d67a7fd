"""Random numbers that depend on where they are used, not on what was drawn before.

Every step, item and rehearsal is seeded by its own address, such as (seed, "step", 17, rank). So there is no random
state to save: a resumed run, or one with another number of workers, draws the same numbers.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import threading
from collections.abc import Iterator

import numpy as np
import torch

__all__ = ["derive", "seeded"]


_turn = threading.RLock()
"""The generators are shared by all threads of the process, so blocks of different threads take turns."""


def _fresh_lock() -> None:
    """In a forked process, where nobody would release a lock that another thread held."""
    global _turn
    _turn = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh_lock)


def derive(*address: int | str) -> int:
    """A seed of 63 bits from an address; different addresses give unrelated seeds."""
    digest = hashlib.blake2b(repr(address).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@contextlib.contextmanager
def seeded(*address: int | str) -> Iterator[None]:
    """Seeds torch, NumPy and ``random`` by an address within the block, and leaves them as they were after it."""
    seed = derive(*address)
    with _turn:
        python, numpy = random.getstate(), np.random.get_state()
        devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
        with torch.random.fork_rng(devices):
            try:
                torch.manual_seed(seed)
                random.seed(seed)
                np.random.seed(seed % 2**32)
                yield
            finally:
                random.setstate(python)
                np.random.set_state(numpy)
