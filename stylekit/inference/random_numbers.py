"""Random numbers of a method, which threads draw in turn."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from stylekit.method import Method
from stylekit.seeding import seeded


def random_numbers(method: Method, *address: int | str) -> AbstractContextManager[Any]:
    """Seeds what a method draws within the block, where no other thread calls a method.

    Thread-safe methods draw nothing, so their threads need not take turns.
    """
    return nullcontext() if method.capabilities.thread_safe else seeded(*address)
