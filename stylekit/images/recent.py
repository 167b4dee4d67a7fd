"""A cache of what was computed last, limited by its bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Keeps the values that were used last, as many as fit.

    Args:
        limit: bytes that the values may have together
        size: tells the bytes of a value
    """

    def __init__(self, limit: int, size: Callable[[Value], int]) -> None:
        self._limit, self._size = limit, size
        self._bytes = 0
        self._values: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """The value of a key, which is computed if it is not kept."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        value = self._values[key] = compute()
        self._bytes += self._size(value)
        while self._bytes > self._limit:
            _, oldest = self._values.popitem(last=False)
            self._bytes -= self._size(oldest)
        return value

    def find(self, key: Hashable) -> Value | None:
        """The value of a key, if it is kept."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key]

    def drop(self, key: Hashable) -> None:
        """Forgets the value of a key, if it is kept."""
        if key in self._values:
            self._bytes -= self._size(self._values.pop(key))
