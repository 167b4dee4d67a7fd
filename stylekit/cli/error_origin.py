"""Where an error came from."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import stylekit


def error_location(error: Exception) -> str:
    """The innermost line that is neither stylekit's own nor of a library below: where a plugin's writer looks first."""
    passed_over = (str(Path(stylekit.__file__).parent), f"{os.sep}torch{os.sep}", f"{os.sep}typer{os.sep}")
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not any(place in frame.filename for place in passed_over)]
    frame = (own or frames)[-1]
    return f", in line {frame.lineno} of {frame.filename}"
