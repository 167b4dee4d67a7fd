"""The lines of ``metrics.jsonl``. Does not import torch."""

from __future__ import annotations

import json
import os
from pathlib import Path

from stylekit._files import explain_os_errors, require_regular

TAIL = 2**16
"""Bytes at the end of a log in which its last line is looked for."""


def parse_line(line: str) -> dict[str, float] | None:
    """The numbers in a line of the log; None if it is damaged."""
    try:
        parsed = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, dict) or type(parsed.get("step")) is not int:
        return None
    return parsed if all(type(value) in (int, float) and abs(value) <= 1e308 for value in parsed.values()) else None


def last_line(path: Path) -> dict[str, float] | None:
    """The numbers in the last complete line of a log; None if it has none.

    Raises:
        StylekitError: the log cannot be read.
    """
    if not os.path.lexists(path):
        return None
    require_regular(path)
    with explain_os_errors(path, "read"), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        *complete, _ = file.read(TAIL).decode(errors="replace").split("\n")
    return next((parsed for line in reversed(complete) if (parsed := parse_line(line))), None)
