"""Assertions on the facts in a message (names, values, options, commands), whatever its wording."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

TEMPORARY = re.compile(r"/[^\s']*/pytest-\d+/(popen-gw\d+/)?\w+")
"""A test's folder, which is named after the test: its words in a message prove nothing."""


def missing(message: object, *facts: object) -> list[object]:
    """The facts that the message lacks. Case is ignored; a number must stand alone: 3 is not in 13 or in 3,000."""
    return [fact for fact in facts if not _found(fact, str(message))]


def _found(fact: object, text: str) -> bool:
    pattern = re.escape(str(fact))
    if isinstance(fact, int | float):
        pattern = rf"(?<![\w.,]){pattern}(?![.,]?\d)"
    if not TEMPORARY.search(str(fact)):
        text = TEMPORARY.sub("", text)
    return re.search(pattern, text, re.IGNORECASE) is not None


def assert_mentions(message: object, *facts: object) -> None:
    """Every fact is in the message."""
    __tracebackhide__ = True
    lacking = missing(message, *facts)
    assert not lacking, f"{lacking} not in: {message}"


@contextmanager
def raises(kind: type[BaseException], *facts: object) -> Iterator[pytest.ExceptionInfo[BaseException]]:
    """Like ``pytest.raises``; every fact is in the error's message."""
    with pytest.raises(kind) as caught:
        yield caught
    assert_mentions(caught.value, *facts)
    del caught  # the traceback refers to this frame, and without this cycle an open file in it is closed at once


@contextmanager
def warns(kind: type[Warning], *facts: object) -> Iterator[pytest.WarningsRecorder]:
    """Like ``pytest.warns``; every fact is in the message of one of the warnings."""
    with pytest.warns(kind) as caught:
        yield caught
    assert_mentions(min((str(each.message) for each in caught), key=lambda text: len(missing(text, *facts))), *facts)
