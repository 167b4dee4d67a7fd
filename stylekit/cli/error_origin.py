"""Finds the line of a plugin that an error came from."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import stylekit


def error_location(error: Exception) -> str:
    """The innermost line outside stylekit, torch and typer: where the author of a plugin looks first."""
    skipped = (str(Path(stylekit.__file__).parent), f"{os.sep}torch{os.sep}", f"{os.sep}typer{os.sep}")
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not any(folder in frame.filename for folder in skipped)]
    frame = (own or frames)[-1]
    return f", in line {frame.lineno} of {frame.filename}"
