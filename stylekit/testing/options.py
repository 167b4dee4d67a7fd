"""Checks that every option of a part has a type and a description, which ``stylekit show`` and config files rely on."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, get_type_hints

from stylekit.errors import StylekitError
from stylekit.registry.schema import Argument, arguments, unwrap_partial, validate
from stylekit.testing.kit import Check, Subject, require


def undescribed(known: Mapping[str, Argument]) -> str:
    """A message on missing types or descriptions of arguments; empty if none are missing."""
    if untyped := [name for name, argument in known.items() if argument.type is Any]:
        return f"Give a type to {_list(untyped)}, as in width: int = 64, or Part for a part (from stylekit import Part)"
    if missing := [name for name, argument in known.items() if not argument.help]:
        return f"Describe {_list(missing)} in the docstring, one line each under Args:, as in width: channels"
    return ""


def _options(subject: Subject) -> str:
    factory = subject.target
    function = unwrap_partial(factory)
    try:
        get_type_hints(function.__init__ if inspect.isclass(function) else function)
    except NameError as error:
        raise StylekitError(
            f"The types of the options cannot be resolved: {error}. Import it at run time, not only under TYPE_CHECKING."
        ) from error
    known = arguments(factory)
    require(not (fault := undescribed(known)), f"{fault}.")
    if not any(argument.required for argument in known.values()):
        validate(factory, {name: argument.default for name, argument in known.items()}, "part")
    return ""


def _list(names: list[str]) -> str:
    return f"the option{'s' if len(names) > 1 else ''} {', '.join(names)}"


OPTIONS = Check("options", _options)
