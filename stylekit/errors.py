"""What goes wrong in a way that the user can mend, and how it is said."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable
from typing import Any

__all__ = ["MissingWeights", "NotFinite", "suggest"]


class StylekitError(Exception):
    """One paragraph for the user: it names the thing and says what to do. The command line shows it without a trace."""


class NotFinite(StylekitError):
    """A loss or a weight became NaN or infinite."""


class MissingWeights(StylekitError):
    """A network is used whose pretrained weights are not here; it says how to get them."""


class StylekitWarning(UserWarning):
    """Something was left out or passed over, and the work goes on."""


def warn(message: str) -> None:
    """Warns the user in one line."""
    warnings.warn(message, StylekitWarning, stacklevel=3)


def one_line_error(error: BaseException) -> str:
    """The kind of an error and what it says, however many lines that are."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def suggest(name: str, known: Iterable[str]) -> str:
    """The sentence that follows "there is no ...": the nearest known name, and all of them.

    >>> suggest("cyclgan", ["cyclegan", "adain"])
    "Did you mean 'cyclegan'? There are: adain, cyclegan."
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    question = f"Did you mean {near[0]!r}? " if near else ""
    return question + (f"There are: {', '.join(known)}." if known else "There are none.")


class PlainWarnings:
    """Takes the place of ``warnings.showwarning``: the project's warnings in one line, each once; others as Python does.

    It can be pickled, so that the processes of a run warn as the one that starts them.
    """

    def __init__(self) -> None:
        self._shown: set[str] = set()
        self._python_shows = warnings.showwarning

    def __reduce__(self) -> tuple[type[PlainWarnings], tuple[()]]:
        return PlainWarnings, ()

    def __call__(self, message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if not issubclass(category, StylekitWarning):
            self._python_shows(message, category, *rest, **more)
        elif str(message) not in self._shown:
            self._shown.add(str(message))
            from rich.console import Console

            Console(stderr=True).print(f"Warning: {message}", markup=False, highlight=False, soft_wrap=True)
