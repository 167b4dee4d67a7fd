"""The conformance kit: does a part do what the plugin contract says?

It is behind ``stylekit check`` and the marker ``stylekit`` of pytest, and serves plugins' own tests. Every check builds the
part with its defaults (a method with its preset ``tiny``, if it has one), tries it on small images, and says in one line
what to change. What is drawn at random, written or loaded is undone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["check"]


def check(kind: str, factory: Callable[..., Any]) -> None:
    """Runs all checks of a part::

        from stylekit.testing import check

        check("generator", MyNetwork)

    A part that needs an option or a path is not tried, with a warning: give it by ``functools.partial``.

    Args:
        kind: the kind of part, such as ``method`` or ``generator``
        factory: the part's class, or what else builds it

    Raises:
        StylekitError: it breaks the contract (one line per fault), or there is no such kind.
    """
    # pytest imports this package wherever stylekit is installed, and torch is slow to import.
    from stylekit.errors import StylekitError, warn
    from stylekit.testing.catalogue import examine
    from stylekit.testing.kit import Subject

    found = examine(Subject(kind, getattr(factory, "__name__", kind), factory))
    faults = [f"{finding.check}: {finding.told}" for finding in found if finding.fault]
    if faults:
        raise StylekitError("\n".join(faults))
    for finding in found:
        if not finding.tried:
            warn(f"the {kind} is not tried: {finding.told}")
