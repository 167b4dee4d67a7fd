"""Reading, making and writing at the same time: what comes next is read, and what came before is written, in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any, TypeVar

Item = TypeVar("Item")
MAKERS = "makers"
"""What the names of their threads begin with."""
AHEAD = 2
"""Items read ahead, and items done or being written beside those being made, at the most: so few are in memory at once."""


def run_pipeline(
    items: Iterable[Item],
    read: Callable[[Item], Any],
    make: Callable[[Item, Any], Any],
    write: Callable[[Item, Any], None],
    at_once: int = 1,
    prepare: Callable[[], object] = lambda: None,
    together: Callable[[Any], bool] = lambda given: True,
) -> Iterator[tuple[Item, Exception | None]]:
    """Takes items through three steps, and gives each in its order, with what went wrong.

    Args:
        items: what to take through
        read: the first step, in a thread
        make: the second, given what the first gave; here, and one item at a time, if no more are to be made at once
        write: the last, given what the second gave; in a thread
        at_once: how many items threads make at once
        prepare: called in each of these threads, before anything else
        together: whether they may make an item, told by what was read; else it is made here, and alone
    """
    left = iter(items)
    reading: deque[tuple[Item, Future[Any]]] = deque()
    begun: deque[tuple[Item, Future[Any]]] = deque()
    files = ThreadPoolExecutor(2, thread_name_prefix="pictures")
    makers = ThreadPoolExecutor(at_once, MAKERS, prepare) if at_once > 1 else None
    held = AHEAD + (at_once if makers else 0)

    def finish(item: Item, given: Any) -> Any:
        return _attempt(write, item, _attempt(make, item, given))

    try:
        while True:
            for item in islice(left, AHEAD - len(reading)):
                reading.append((item, files.submit(_attempt, read, item)))
            if not reading:
                break
            item, job = reading.popleft()
            given = job.result()
            if makers and not isinstance(given, Exception) and together(given):
                begun.append((item, makers.submit(finish, item, given)))
            else:
                if makers:
                    wait([job for _, job in begun])
                made = _attempt(make, item, given)
                begun.append((item, files.submit(_attempt, write, item, made)))
            if len(begun) > held:
                yield _outcome(*begun.popleft())
        while begun:
            yield _outcome(*begun.popleft())
    finally:
        pools = [pool for pool in (files, makers) if pool]
        for wait_for_it in (False, True):  # nothing more is begun anywhere, before the first is waited for
            for pool in pools:
                pool.shutdown(wait_for_it, cancel_futures=True)


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
