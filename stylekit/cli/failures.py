"""Reports the failure of one image out of many, while the others continue."""

from __future__ import annotations

import traceback
from pathlib import Path

from stylekit.cli.output import debugging
from stylekit.errors import StylekitError, explain

EXPECTED_ERRORS = (StylekitError, OSError, RuntimeError, MemoryError)
"""Errors whose message says enough; others are reported with the line that they came from."""


def failure(source: Path, error: Exception) -> str:
    """What went wrong with an image, in one line that names it."""
    if debugging():
        traceback.print_exception(error)
    expected = isinstance(error, EXPECTED_ERRORS)
    reason = (str(error) or type(error).__name__).splitlines()[0] if expected else explain(error)
    return reason if str(source) in reason else f"{source}: {reason}"
