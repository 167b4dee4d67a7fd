"""Looks up the checks of a kind of part, and runs them on a subject."""

from __future__ import annotations

import importlib

from stylekit.errors import StylekitError, suggest
from stylekit.hookspecs import KINDS
from stylekit.testing import kit, packages
from stylekit.testing.kit import Check, Finding, Subject

PLUGIN = "plugin"
"""The kind of a subject that is a whole plugin."""


def checks_of(kind: str) -> tuple[Check, ...]:
    """The checks of a kind of part, or of a whole plugin.

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
    """Runs every check of the subject's kind. If it cannot be built or loaded, that is the only finding."""
    return list(kit.run_checks(subject, checks_of(subject.kind)))
