"""Reading, making and writing at the same time: what comes next is read, and what came before is written, in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

Item = TypeVar("Item")
AHEAD = 2
"""Items read ahead, and items still being written, at the most: so few are in memory at once."""


def overlapped(
    items: Iterable[Item],
    read: Callable[[Item], Any],
    make: Callable[[Item, Any], Any],
    write: Callable[[Item, Any], None],
) -> Iterator[tuple[Item, Exception | None]]:
    """Takes items through three steps, and gives each in its order, with what went wrong.

    Args:
        items: what to take through
        read: the first step, in a thread
        make: the second, given what the first gave; here, and one item at a time
        write: the last, given what the second gave; in a thread
    """
    left = iter(items)
    reading: deque[tuple[Item, Future[Any]]] = deque()
    writing: deque[tuple[Item, Future[Any]]] = deque()
    pool = ThreadPoolExecutor(2, thread_name_prefix="pictures")
    try:
        while True:
            for item in islice(left, AHEAD - len(reading)):
                reading.append((item, pool.submit(_attempt, read, item)))
            if not reading:
                break
            item, job = reading.popleft()
            made = _attempt(make, item, job.result())
            writing.append((item, pool.submit(_attempt, write, item, made)))
            if len(writing) > AHEAD:
                yield _outcome(*writing.popleft())
        while writing:
            yield _outcome(*writing.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _attempt(step: Callable[..., Any], item: Any, *given: Any) -> Any:
    """What a step makes, or its failure; one of the step before is handed on."""
    if given and isinstance(given[0], Exception):
        return given[0]
    try:
        return step(item, *given)
    except Exception as error:  # whatever it is, the others go on
        return error


def _outcome(item: Item, job: Future[Any]) -> tuple[Item, Exception | None]:
    return item, job.result()
