"""Signals that end a run: after the first one it saves a checkpoint, a second one ends it at once."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from torch.multiprocessing.spawn import ProcessExitedException

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Ctrl-C, the request of a scheduler to terminate, and the closing of a terminal, which Windows does not have."""


@contextlib.contextmanager
def _handled(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handles the signals within the block, except those that are ignored, as under ``nohup``.

    Python handles signals only in the main thread; in others, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.getsignal(number) for number in SIGNALS}
    handled = [number for number, handler in previous.items() if handler not in (signal.SIG_IGN, None)]
    for number in handled:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, previous[number])


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Yields a function that returns whether a signal was received. A second one raises ``KeyboardInterrupt`` at once."""
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    with _handled(handle):
        yield lambda: bool(received)


class Stop:
    """A request to end, from the process that starts the processes of a run. It can be pickled into them.

    Only that process obeys signals: a terminal and a scheduler send each one to all processes of the run, and each
    of these would count it in addition to the request.
    """

    def __init__(self) -> None:
        # Without a lock, which a process that is killed would hold forever.
        self._requested: Any = multiprocessing.get_context("spawn").RawValue("b", 0)
        self._starter = os.getpid()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for number in SIGNALS:  # not SIG_IGN, which programs that this process starts would inherit
            signal.signal(number, _ignore)

    def __bool__(self) -> bool:
        """Whether the process is to end: a signal was received, or the process that started it was killed."""
        return bool(self._requested.value) or os.getppid() != self._starter

    @contextlib.contextmanager
    def on_signal(self) -> Iterator[None]:
        """Requests the end at the first signal within the block; the second one kills the processes started in it.

        Raises:
            KeyboardInterrupt: there was a second signal, or a process was interrupted before it could ignore the first.
        """
        others = set(multiprocessing.active_children())

        def handle(number: int, frame: FrameType | None) -> None:
            if not self._requested.value:
                self._requested.value = 1
                return
            for process in set(multiprocessing.active_children()) - others:
                process.kill()
            raise KeyboardInterrupt

        try:
            with _handled(handle):
                yield
        except ProcessExitedException:
            if self._requested.value:
                raise KeyboardInterrupt from None
            raise


def _ignore(number: int, frame: FrameType | None) -> None:
    pass
