"""Which checks there are for a kind of part, and running all of a subject's."""

from __future__ import annotations

import importlib

from stylekit.errors import StylekitError, suggest
from stylekit.hookspecs import KINDS
from stylekit.testing import kit, packages
from stylekit.testing.kit import Check, Finding, Subject

PLUGIN = "plugin"
"""The kind of subject that is a plugin as a whole."""


def checks_of(kind: str) -> tuple[Check, ...]:
    """The checks of a kind of part, or of a plugin as a whole.

    Raises:
        StylekitError: there is no such kind.
    """
    if kind == PLUGIN:
        return packages.CHECKS
    if kind not in KINDS:
        raise StylekitError(f"There is no kind of part {kind!r}. {suggest(kind, KINDS)}")
    checks: tuple[Check, ...] = importlib.import_module(f"stylekit.testing.{KINDS[kind].checks}").CHECKS
    return checks


def examine(subject: Subject) -> list[Finding]:
    """Runs every check of the subject's kind. If it cannot even be built or loaded, only that is found."""
    return list(kit.run_checks(subject, checks_of(subject.kind)))
