"""The conformance kit: does a part do what the plugin contract says?

Behind ``stylekit check``, the marker ``stylekit`` of pytest, and for plugins' own tests. Every check builds the part anew
with its defaults (a method with its preset ``tiny``, if it has one), tries it on small pictures, and tells in one line
what to change. What is drawn at random, written or loaded is undone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = [
    "check_dataset",
    "check_discriminator",
    "check_encoder",
    "check_generator",
    "check_loss",
    "check_method",
]


def _check(kind: str, factory: Callable[..., Any]) -> None:
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
            warn(f"the {kind} is not tried: {finding.told} Give it by functools.partial.")


def check_method(factory: Callable[..., Any]) -> None:
    """Checks a method: turns, sizes, range, seeds, saving, resuming, types, devices, export and presets.

    Args:
        factory: the method's class, or what else builds it

    Raises:
        StylekitError: it breaks the contract; one line a fault.
    """
    _check("method", factory)


def check_generator(factory: Callable[..., Any]) -> None:
    """Checks a generator: sizes, range, seeds, gradients, saving, types, devices and export.

    Args:
        factory: the network's class, or what else builds it

    Raises:
        StylekitError: it breaks the contract; one line a fault.
    """
    _check("generator", factory)


def check_discriminator(factory: Callable[..., Any]) -> None:
    """Checks a discriminator: scores, seeds, gradients, saving, types, devices and export.

    Args:
        factory: the network's class, or what else builds it

    Raises:
        StylekitError: it breaks the contract; one line a fault.
    """
    _check("discriminator", factory)


def check_loss(factory: Callable[..., Any]) -> None:
    """Checks a loss: scalars, sense, scales, gradients, types and devices.

    Args:
        factory: the loss's class, or what else builds it

    Raises:
        StylekitError: it breaks the contract; one line a fault.
    """
    _check("loss", factory)


def check_dataset(factory: Callable[..., Any]) -> None:
    """Checks a data set: arguments, items, seeds, splits and loader processes. One that needs a path is not tried.

    Args:
        factory: the data set's class, or what else opens it

    Raises:
        StylekitError: it breaks the contract; one line a fault.
    """
    _check("dataset", factory)


def check_encoder(factory: Callable[..., Any]) -> None:
    """Checks an encoder: features by layer, frozen, gradients of the picture, saving, types, devices and export.

    Args:
        factory: the network's class, or what else builds it

    Raises:
        StylekitError: it breaks the contract; one line a fault.
    """
    _check("encoder", factory)
