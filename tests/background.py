"""Makes the programs that the tests start and interrupt obey signals, also where the tests run in the background."""

from __future__ import annotations

import signal


def obey_signals() -> None:
    """Undoes that a shell's background job and ``nohup`` ignore signals, which the programs it starts inherit."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)
