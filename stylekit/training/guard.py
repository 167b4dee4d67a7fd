"""The guard ``if __name__ == "__main__":``, which scripts that train need where new processes import them.

With the start methods spawn (macOS, Windows) and forkserver (Linux from Python 3.14 on), every new process imports the script
of the process that started it.
"""

from __future__ import annotations

import multiprocessing
import os
import sys

UNGUARDED = 78
"""Exit code of a process that would have trained while it imported the script."""

MESSAGE = (
    "The processes that training starts import your script, which would train again in each of them. Put the call of "
    'stylekit.train under `if __name__ == "__main__":`.'
)


def leave_while_importing() -> None:
    """Ends this process if it is importing the script of the process that started it. That process then shows the message."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # set by multiprocessing until it has imported
        sys.stdout.flush()
        os._exit(UNGUARDED)  # not SystemExit, whose code a fork server does not pass on
