"""The program: ``stylekit``, or ``python -m stylekit``."""

from __future__ import annotations

import os
import signal
from types import FrameType


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Handles Ctrl-C: as Python does, but during an import, it ends the process at once.

    Nothing is lost then, and an exception inside of an import may end in a traceback, another error or a crash.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os._exit(130)
        frame = frame.f_back
    raise KeyboardInterrupt


def main() -> None:
    """Runs the program."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not if it is ignored, as in the background
        signal.signal(signal.SIGINT, _interrupt)
    from stylekit.cli import main as run

    run()


if __name__ == "__main__":
    main()
