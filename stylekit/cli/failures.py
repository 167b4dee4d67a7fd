"""Reports the failure of one image out of many, while the others continue."""

from __future__ import annotations

from pathlib import Path

from stylekit.cli.output import debugging, echo_traceback
from stylekit.errors import StylekitError, explain

WHOLE = (StylekitError, OSError)
"""Errors whose whole message is shown. It may contain a file name with line breaks, which are escaped when printed."""
FIRST_LINE = (RuntimeError, MemoryError)
"""Errors whose first line says enough. torch adds its own internals. Others are reported with the line they came from."""


def failure(source: Path | str, error: Exception) -> str:
    """What went wrong with an image, in one paragraph that names it."""
    if debugging():
        echo_traceback(error)
    if isinstance(error, WHOLE):
        reason = str(error) or type(error).__name__
    elif isinstance(error, FIRST_LINE):
        reason = (str(error) or type(error).__name__).splitlines()[0]
    else:
        reason = explain(error)
    return reason if str(source) in reason else f"{source}: {reason}"
