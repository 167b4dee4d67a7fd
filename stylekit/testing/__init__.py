"""Conformance checks: does a part follow the plugin contract?

They are used by ``stylekit check`` and the pytest marker ``stylekit``, and by the tests of plugins. Every check builds the
part with its defaults (a method with its preset ``tiny``, if it has one), tries it on small images, and says in one line
what to change. Afterwards the random number generators and process-wide switches are restored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["check"]


def check(kind: str, factory: Callable[..., Any]) -> None:
    """Runs all checks of a part::

        from stylekit.testing import check

        check("generator", MyNetwork)

    A part that needs an option or a path is not tried, and a warning says so: pass it with ``functools.partial``.

    Args:
        kind: the kind of part, such as ``method`` or ``generator``
        factory: the part's class, or another callable that builds it

    Raises:
        StylekitError: the part breaks the contract (one line per fault), or there is no such kind.
    """
    # pytest imports this package wherever stylekit is installed, and torch is slow to import.
    from stylekit.errors import StylekitError, warn
    from stylekit.testing.catalogue import examine
    from stylekit.testing.kit import Subject

    findings = examine(Subject(kind, getattr(factory, "__name__", kind), factory))
    faults = [f"{finding.check}: {finding.told}" for finding in findings if finding.fault]
    if faults:
        raise StylekitError("\n".join(faults))
    for finding in findings:
        if not finding.tried:
            warn(f"the {kind} was not tried: {finding.told}")
