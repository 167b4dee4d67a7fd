"""What the benchmarks recorded, for the functions that make tables of it."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

from benchmarks import figures


def read(name: str) -> Any:
    """What a benchmark recorded, or None."""
    path = figures.RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def recorded(name: str, missing: str = "Not yet recorded.") -> Callable[[Callable[[Any], str]], Callable[[], str]]:
    """Gives a function what a benchmark recorded; if there is nothing, the table is a sentence.

    Args:
        name: name of the record
        missing: the sentence
    """

    def decorate(table: Callable[[Any], str]) -> Callable[[], str]:
        @functools.wraps(table)
        def made() -> str:
            results = read(name)
            return missing if results is None else table(results)

        return made

    return decorate
