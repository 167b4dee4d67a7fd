"""Is every option of a part typed and described? ``stylekit show`` and every config file rely on that."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, get_type_hints

from stylekit.errors import StylekitError
from stylekit.registry.schema import Argument, arguments, unwrap_partial, validate
from stylekit.testing.kit import Check, Subject, require


def undescribed(known: Mapping[str, Argument]) -> str:
    """What is wrong with the types and descriptions of some arguments; empty if nothing is."""
    if untyped := [name for name, argument in known.items() if argument.type is Any]:
        return f"Give a type to {_list(untyped)}, as in width: int = 64, or Part for a part (from stylekit import Part)"
    if silent := [name for name, argument in known.items() if not argument.help]:
        return f"Describe {_list(silent)} in the docstring, a line each under Args:, as in width: channels"
    return ""


def _options(subject: Subject) -> str:
    factory = subject.target
    made = unwrap_partial(factory)
    try:
        get_type_hints(made.__init__ if inspect.isclass(made) else made)
    except NameError as error:
        raise StylekitError(
            f"The options' types cannot be read: {error}. Import it when the module runs, not only under TYPE_CHECKING."
        ) from error
    known = arguments(factory)
    require(not (fault := undescribed(known)), f"{fault}.")
    if not any(argument.required for argument in known.values()):
        validate(factory, {name: argument.default for name, argument in known.items()}, "part")
    return ""


def _list(names: list[str]) -> str:
    return f"the option{'s' if len(names) > 1 else ''} {', '.join(names)}"


OPTIONS = Check("options", _options)
