"""What counts as right, as a clear error, and as bad."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

RIGHT, CLEAR, BAD = "right", "clear error", "bad"
LONGEST = 1500
"""Maximum length of an error in characters: more is not one paragraph."""
HELP = "Usage: stylekit [OPTIONS] COMMAND [ARGS]... Image style transfer"
"""How the list of all commands begins, which a command line without words prints; it grows with every command."""
INTERNAL = re.compile(
    r"Traceback \(most recent|--debug for the full|in line \d+ of |internal error|\bNoneType\b|<[\w.]+ object at 0x|"
    r"\b(Key|Type|Attribute|Index|Recursion|Assertion|Runtime|UnicodeEncode|UnicodeDecode|Overflow|Memory|Value|OS|"
    r"NotImplemented|EOF|ZeroDivision|Import|Permission|IsADirectory|Pickling|Unpickling)Error\b|BadZipFile"
)
"""Words that only a programmer understands."""
HIDDEN = {*map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F))}
"""Characters that change the direction of text, with which a name can pretend to be another."""


class Bad(Exception):
    """Something happened that must never happen."""


class ClearError(Exception):
    """The program ended with an error that says what is wrong. It stands for a StylekitError."""


@dataclass(frozen=True)
class Result:
    """What the program printed, and its exit code."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode(errors="backslashreplace")


def require_printable(text: str) -> None:
    """Checks that text does not control the terminal.

    Raises:
        Bad: it contains a control character.
    """
    for char in text:
        if (unicodedata.category(char) in ("Cc", "Cs") and char != "\n") or char in HIDDEN:
            raise Bad(f"the control character {char!r} was printed: {text!r}")


def require_clear(text: str, mentions: Sequence[str] = (), typed: int = 0) -> None:
    """Checks that a message is one paragraph for a user, and names what it is about.

    Args:
        text: the message
        mentions: names of which at least one must be in the message; none: anything goes
        typed: number of characters that the user typed, which may be repeated

    Raises:
        Bad: it is not.
    """
    require_printable(text)
    if not text.strip():
        raise Bad("the error has no message")
    if "\n" in text.strip():
        raise Bad(f"the error is not one paragraph: {text!r}")
    if len(text) > LONGEST + 2 * typed and not text.startswith(HELP):
        raise Bad(f"the error has {len(text)} characters: {text[:300]!r}")
    if match := INTERNAL.search(text):
        raise Bad(f"the error speaks of {match[0]!r}: {text!r}")
    if mentions and not _mentioned(text, mentions):
        raise Bad(f"the error names none of {list(mentions)}: {text!r}")


def require_clear_result(result: Result, mentions: Sequence[str] = (), typed: int = 0) -> None:
    """Checks that a command that failed printed errors and warnings only, each in one line, and used a code for errors.

    Raises:
        Bad: it did not.
    """
    if result.code not in (1, 2):
        raise Bad(f"exit code {result.code}: {result.err[-600:]!r}")
    require_printable(result.err)
    require_printable(result.text)
    printed = result.err.strip() or result.text.strip()
    if not printed:
        raise Bad(f"exit code {result.code} without a word")
    if printed.startswith("Usage:"):  # typer's own box
        lines = [" ".join(re.sub(r"[─-╿]", " ", printed).split())]
    else:
        lines = [line for line in printed.splitlines() if line.strip()]
    for line in lines:
        require_clear(line, typed=typed)
    if result.code == 2 and sum(line.startswith("Error: ") for line in lines) > 1:
        raise Bad(f"several errors: {printed!r}")
    if mentions and not _mentioned(printed + result.text, mentions):
        raise Bad(f"the error names none of {list(mentions)}: {printed!r}")


def _mentioned(text: str, mentions: Iterable[str]) -> bool:
    """Whether one of the names is there, or its longest run of plain characters, as others may be escaped or wrapped."""
    plain = re.sub(r"[\s│]", "", text)
    for name in mentions:
        runs = re.findall(r"[\w.-]+", name, re.ASCII)
        if not runs or max(runs, key=len) in plain:
            return True
    return False
