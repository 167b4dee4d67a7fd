"""Is every option of a part typed, and told of in its docstring? ``stylekit show`` and every config file live on that."""

from __future__ import annotations

import inspect
from typing import get_type_hints

from stylekit.errors import StylekitError
from stylekit.registry.parts import arguments, validate
from stylekit.testing.kit import Check, Subject, require, unwrap_partial


def _options(subject: Subject) -> str:
    factory = subject.target
    parameters = inspect.signature(factory).parameters
    untyped = [name for name in arguments(factory) if parameters[name].annotation is inspect.Parameter.empty]
    require(
        not untyped,
        f"Give a type to {_list(untyped)}, as in width: int = 64, or Part for a part's name (from stylekit import Part).",
    )
    made = unwrap_partial(factory)
    try:
        get_type_hints(made.__init__ if inspect.isclass(made) else made)
    except NameError as error:
        raise StylekitError(
            f"The options' types cannot be read: {error}. Import it when the module runs, not only under TYPE_CHECKING."
        ) from error
    known = arguments(factory)
    silent = [name for name, argument in known.items() if not argument.help]
    require(not silent, f"Describe {_list(silent)} in the docstring, a line each under Args:, as in width: channels.")
    if not any(argument.required for argument in known.values()):
        validate(factory, {name: argument.default for name, argument in known.items()}, "part")
    return ""


def _list(names: list[str]) -> str:
    return f"the option{'s' if len(names) > 1 else ''} {', '.join(names)}"


OPTIONS = Check("options", _options)
