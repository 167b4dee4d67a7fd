"""Whether a model file is being read. Its tensors are then the weights, and its header must not have other files opened."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

_restoring: ContextVar[bool] = ContextVar("restoring", default=False)


@contextlib.contextmanager
def restoring() -> Iterator[None]:
    """Within the block, no file of weights is opened."""
    token = _restoring.set(True)
    try:
        yield
    finally:
        _restoring.reset(token)


def is_restoring() -> bool:
    """Whether this is within such a block."""
    return _restoring.get()
