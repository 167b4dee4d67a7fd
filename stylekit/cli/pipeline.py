"""Reads, makes and writes at the same time, in threads: the next items are read while the previous ones are written."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any, TypeVar

Item = TypeVar("Item")
MAKERS = "makers"
"""Prefix of the names of the threads that make items."""
AHEAD = 2
"""Maximum number of items read ahead, and of items made but not yet written, so that few are in memory at once."""


def run_pipeline(
    items: Iterable[Item],
    read: Callable[[Item], Any],
    make: Callable[[Item, Any], Any],
    write: Callable[[Item, Any], None],
    at_once: int = 1,
    prepare: Callable[[], object] = lambda: None,
    together: Callable[[Any], bool] = lambda value: True,
) -> Iterator[tuple[Item, Exception | None]]:
    """Passes items through three steps, and yields each item, in order, with its error or None.

    Args:
        items: the items
        read: the first step; runs in a thread
        make: the second step, called with the item and what ``read`` returned; runs in this thread, one item at a time,
            or in threads of its own
        write: the last step, called with the item and what ``make`` returned; runs in a thread
        at_once: number of items that threads make at once; 1: items are made in this thread
        prepare: called in each of these threads before anything else
        together: whether an item may be made next to others, given what was read; otherwise it is made alone, in this
            thread
    """
    remaining = iter(items)
    reading: deque[tuple[Item, Future[Any]]] = deque()
    started: deque[tuple[Item, Future[Any]]] = deque()
    files = ThreadPoolExecutor(2, thread_name_prefix="files")
    makers = ThreadPoolExecutor(at_once, MAKERS, prepare) if at_once > 1 else None
    limit = AHEAD + (at_once if makers else 0)

    def finish(item: Item, value: Any) -> Any:
        return _attempt(write, item, _attempt(make, item, value))

    try:
        while True:
            for item in islice(remaining, AHEAD - len(reading)):
                reading.append((item, files.submit(_attempt, read, item)))
            if not reading:
                break
            item, job = reading.popleft()
            value = job.result()
            if makers and not isinstance(value, Exception) and together(value):
                started.append((item, makers.submit(finish, item, value)))
            else:
                if makers:
                    wait([job for _, job in started])
                output = _attempt(make, item, value)
                started.append((item, files.submit(_attempt, write, item, output)))
            if len(started) > limit:
                yield _outcome(*started.popleft())
        while started:
            yield _outcome(*started.popleft())
    finally:
        pools = [pool for pool in (files, makers) if pool]
        for blocking in (False, True):  # cancels the pending jobs of both pools before waiting for either
            for pool in pools:
                pool.shutdown(blocking, cancel_futures=True)


def _attempt(step: Callable[..., Any], item: Any, *inputs: Any) -> Any:
    """What a step returns, or its exception. If the previous step failed, its exception is passed on instead."""
    if inputs and isinstance(inputs[0], Exception):
        return inputs[0]
    try:
        return step(item, *inputs)
    except Exception as error:  # any error: the other items continue
        return error


def _outcome(item: Item, job: Future[Any]) -> tuple[Item, Exception | None]:
    return item, job.result()


def ahead(items: Iterable[Item], count: int = AHEAD) -> Generator[Item, None, None]:
    """Yields the items, in order, while a thread iterates ahead by at most ``count`` of them. An error in the thread is raised
    here. Closing the generator stops the thread after its current item."""
    ready: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(count)
    stopped = threading.Event()

    def put(item: Item | None, error: BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                ready.put((item, error), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def iterate() -> None:
        try:
            for item in items:
                if not put(item, None):
                    return
            put(None, END)
        except BaseException as error:  # any error: it is raised where the items are used
            put(None, error)

    thread = threading.Thread(target=iterate, name="ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if error is END:
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        thread.join()


END = StopIteration()
"""Marks the end of what a thread iterates over."""
