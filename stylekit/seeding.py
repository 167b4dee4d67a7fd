"""Random numbers that depend on where they are used, not on what was drawn before.

Every step, item and rehearsal is seeded by its own address, such as (seed, "step", 17, rank). So there is no random
state to save: a resumed run, or one with another number of workers, draws the same numbers.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterator

import numpy as np
import torch

__all__ = ["derive", "seeded"]


def derive(*address: int | str) -> int:
    """A seed of 63 bits from an address; different addresses give unrelated seeds."""
    digest = hashlib.blake2b(repr(address).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@contextlib.contextmanager
def seeded(*address: int | str) -> Iterator[None]:
    """Seeds torch, NumPy and ``random`` by an address within the block, and leaves them as they were after it."""
    seed = derive(*address)
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
