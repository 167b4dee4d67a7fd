"""Errors and warnings for the user, and how they are shown."""

from __future__ import annotations

import difflib
import errno
import os
import re
import sys
import traceback
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["MissingWeights", "NotFinite", "suggest"]


class StylekitError(Exception):
    """An error that the user can fix. Its message is one paragraph that names the cause and says what to do.

    The command line shows it without a traceback.
    """


class NotFinite(StylekitError):
    """A loss or a weight became NaN or infinite."""


class ProcessError(StylekitError):
    """An error that one of several processes met while it trained, and the others perhaps did not."""


class MissingWeights(StylekitError):
    """The pretrained weights of a network are missing; the message says how to get them."""


class StylekitWarning(UserWarning):
    """Something was left out or skipped; the work continues."""


def warn(message: str) -> None:
    """Warns the user in one line."""
    warnings.warn(message, StylekitWarning, stacklevel=3)


def counted(number: int, noun: str) -> str:
    """A number of things, such as ``1 channel`` and ``3 channels``."""
    return f"{number} {noun}{'s' * (number != 1)}"


NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the operating system reports if there is no space left to write."""

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line breaks, marks that reorder text, and parts of names that are not valid text."""


def printable(line: str) -> str:
    """One line that cannot control a terminal: control characters, line breaks too, are escaped, such as ``\\x1b`` and
    ``\\n``. File names and the headers of received files may contain them."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), line)


def one_line_error(error: BaseException) -> str:
    """The type and the message of an error, joined into one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def environment_fault(error: BaseException) -> str | None:
    """One sentence about an error that a file or the machine caused, such as a missing permission; None for any other."""
    if isinstance(error, ModuleNotFoundError) and error.name == "torch":
        return (
            "This needs torch, which is not installed: pip install torch. Without it, exported models can be used, as "
            "docs/deploy.md says."
        )
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return (
            f"{os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename}: {error.strerror}."
        )
    if isinstance(error, OSError) and error.errno in NO_SPACE:  # of a stream, which has no name
        return "There is no space left to write the output."
    if isinstance(error, MemoryError) or any(sign in f"{type(error).__name__}: {error}" for sign in _NO_MEMORY):
        return "There is not enough memory. Use smaller images, a smaller batch or a smaller model."
    return None


_NO_MEMORY = ("OutOfMemoryError: ", "DefaultCPUAllocator: ")
"""How torch's errors without memory begin; not imported here, because importing torch takes a second."""


def explain(error: BaseException) -> str:
    """What an error says to the user: one sentence if the user or the machine caused it, or its type, message and location."""
    if isinstance(error, StylekitError):
        return str(error)
    return environment_fault(error) or f"{one_line_error(error)}{error_location(error)}"


def error_location(error: BaseException) -> str:
    """The innermost line outside stylekit and its libraries: where the author of a plugin looks first."""
    skipped = (
        str(Path(__file__).parent),
        *(f"{os.sep}{name}{os.sep}" for name in ("torch", "typer", "lightning_fabric")),
    )
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not any(folder in frame.filename for folder in skipped)]
    frame = (own or frames)[-1]
    return f", in line {frame.lineno} of {frame.filename}"


def suggest(name: str, known: Iterable[str]) -> str:
    """The hint that follows "there is no ...": the closest known name, and all known names.

    >>> suggest("cyclgan", ["cyclegan", "adain"])
    "Did you mean 'cyclegan'? Available: adain, cyclegan."
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    question = f"Did you mean {close[0]!r}? " if close else ""
    return question + (f"Available: {', '.join(known)}." if known else "None are available.")


class PlainWarnings:
    """Replaces ``warnings.showwarning``: prints stylekit's own warnings in one line, each once, and others as Python does.

    It can be pickled, so that the processes of a run print warnings like the process that starts them.
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
            sys.stderr.write(printable(f"Warning: {message}") + "\n")  # one write: other threads may print, too
