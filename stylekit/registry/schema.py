"""The arguments of a callable, read from its signature, and their validation.

Names, types and defaults come from the signature and the help texts from ``Args:`` in the docstring; pydantic validates
values against the types. The options of a part are therefore defined only by the signature of its constructor.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pydantic

from stylekit._files import absolute_path
from stylekit.errors import StylekitError, suggest


class Written(str):
    """What a user wrote for an option, whose type decides whether it is text or YAML.

    Attributes:
        as_yaml: what YAML reads
    """

    as_yaml: Any

    def __new__(cls, text: str, as_yaml: Any) -> Written:
        self = super().__new__(cls, text)
        self.as_yaml = as_yaml
        return self

    def __getnewargs__(self) -> tuple[str, Any]:  # type: ignore[override]
        """The arguments of ``__new__``, for pickle, which takes settings to other processes."""
        return str(self), self.as_yaml


@dataclass(frozen=True)
class Argument:
    """One argument of a callable.

    Attributes:
        name: its name
        type: its annotation, perhaps ``Annotated`` with bounds such as ``Field(ge=1)``, or ``Any``
        default: its default; ``inspect.Parameter.empty`` if it is required
        help: its line in the docstring
        keyword_only: whether it comes after ``*`` in the signature
    """

    name: str
    type: Any
    default: Any
    help: str
    keyword_only: bool = False

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty

    def accepts(self, kind: Any) -> bool:
        """Whether its type is this one or contains it, as ``Path | None`` and ``Sequence[Path]`` contain ``Path``."""
        return _contains(self.type, kind)

    def takes(self, value: Any) -> bool:
        """Whether a value fits its type, as it is or converted."""
        try:
            _validated(self.type, value)
        except ValueError:  # a ValidationError is one
            return False
        return True

    def read(self, value: Any) -> Any:
        """What a written value means for its type: what YAML reads, unless only the text fits. Other values are unchanged.

        An optional argument may be ``none`` too, which is text in YAML.
        """
        if not isinstance(value, Written):
            return value
        if value.lower() == "none" and self.accepts(type(None)):
            return None
        only_text = self.takes(str(value)) and not self.takes(value.as_yaml)
        return str(value) if only_text else value.as_yaml


def _contains(annotation: Any, kind: Any) -> bool:
    return annotation == kind or any(_contains(each, kind) for each in get_args(annotation))


def _adapter(annotation: Any) -> pydantic.TypeAdapter[Any]:
    try:
        return pydantic.TypeAdapter(annotation, config=pydantic.ConfigDict(arbitrary_types_allowed=True))
    except pydantic.PydanticUserError:  # the type has its own configuration
        return pydantic.TypeAdapter(annotation)


def _validated(annotation: Any, value: Any) -> Any:
    result = _adapter(annotation).validate_python(value)
    require_no_bool(value, result)
    return result


def require_no_bool(given: Any, result: Any) -> None:
    """Checks that no true or false became a number, as pydantic allows: ``yes`` in YAML is not a number of steps.

    Raises:
        ValueError: one did, perhaps within a list or mapping.
    """
    if isinstance(given, bool) and isinstance(result, int | float) and not isinstance(result, bool):
        raise ValueError("Input should be a number, not true or false")
    if isinstance(given, Mapping) and isinstance(result, Mapping):
        pairs = [(value, result[key]) for key, value in given.items() if key in result]
    elif isinstance(given, list | tuple) and isinstance(result, list | tuple):
        pairs = list(zip(given, result, strict=False))
    else:
        return
    for each in pairs:
        require_no_bool(*each)


def unwrap_partial(factory: Any) -> Any:
    """The class or function that a ``functools.partial`` wraps."""
    return unwrap_partial(factory.func) if isinstance(factory, functools.partial) else factory


def arguments(factory: Callable[..., Any]) -> dict[str, Argument]:
    """The arguments that a callable accepts by name, in order."""
    unwrapped = unwrap_partial(factory)
    target = unwrapped.__init__ if inspect.isclass(unwrapped) else unwrapped
    try:
        types = get_type_hints(target, include_extras=True)
    except (NameError, TypeError):
        types = {}
    described = _args_section((inspect.getdoc(unwrapped) or "") + "\n" + (inspect.getdoc(target) or ""))
    return {
        name: Argument(
            name,
            types.get(name, Any),
            parameter.default,
            described.get(name, ""),
            parameter.kind is parameter.KEYWORD_ONLY,
        )
        for name, parameter in inspect.signature(factory).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


def keyword_arguments(function: Callable[..., Any]) -> dict[str, Argument]:
    """The keyword-only arguments of a function, which a user may set at each call."""
    return {name: argument for name, argument in arguments(function).items() if argument.keyword_only}


def _args_section(doc: str) -> dict[str, str]:
    """The descriptions below ``Args:``, by argument name. If several sections describe an argument, the first one counts."""
    described: dict[str, str] = {}
    for section in re.finditer(r"^Args:\n((?:[ \t]+.*\n|[ \t]*\n)+)", doc + "\n", re.MULTILINE):
        for name, text in re.findall(r"^ +(\w+): (.*(?:\n {6,}.*)*)", section[1], re.MULTILINE):
            described.setdefault(name, " ".join(text.split()))
    return described


def validate(factory: Callable[..., Any], given: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Validates values against a callable's signature, and converts them.

    Raises:
        StylekitError: an argument is unknown, has a value of the wrong type, or is missing.
    """
    return validate_arguments(arguments(factory), given, what)


def validate_arguments(known: Mapping[str, Argument], given: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Validates values against the known arguments, and converts them.

    Raises:
        StylekitError: an argument is unknown, has a value of the wrong type, or is missing.
    """
    for name in given:
        if name not in known:
            raise StylekitError(f"The {what} has no option {name!r}. {suggest(str(name), known)}")
    missing = [name for name, argument in known.items() if argument.required and name not in given]
    if missing:
        raise StylekitError(f"The {what} needs the option {missing[0]!r}: {known[missing[0]].help or 'no default'}.")
    return {name: _convert(known[name], value, what) for name, value in read_written(known, given).items()}


def read_written(known: Mapping[str, Argument], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values, of which those that a user wrote are read by the types of their arguments."""
    return {name: known[name].read(value) if name in known else value for name, value in given.items()}


def _convert(argument: Argument, value: Any, what: str) -> Any:
    try:
        return _validated(argument.type, value)
    except ValueError as error:
        reason = error.errors()[0]["msg"] if isinstance(error, pydantic.ValidationError) else str(error)
        default = "" if argument.required else f" (default: {argument.default!r})"
        raise StylekitError(
            f"The option {argument.name!r} of the {what} cannot be {value!r}: {reason}{default}."
        ) from None


def override(
    known: Mapping[str, Argument], base: Mapping[str, Any], changes: Mapping[str, Any], what: str
) -> dict[str, Any]:
    """Applies changes to arguments: ``key`` replaces one, ``part.option`` sets an option in the specification of a part.

    Raises:
        StylekitError: an argument is unknown, or ``part.option`` refers to something that is not a part.
    """
    result = dict(base)
    for key, value in sorted(changes.items(), key=lambda change: "." in change[0]):  # a part before its options
        head, dot, rest = key.partition(".")
        if head not in known:
            raise StylekitError(f"The {what} has no option {head!r}. {suggest(head, known)}")
        if not dot:
            result[head] = known[head].read(value)
            continue
        spec = result.get(head, known[head].default)
        if not isinstance(spec, str | Mapping):
            raise StylekitError(
                f"{key!r} of the {what} sets an option of {head!r}, but that is {spec!r}, which has none."
            )
        result[head] = {**({"name": spec} if isinstance(spec, str) else spec), rest: value}
    return result


def absolute_paths(known: Mapping[str, Argument], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values as a run stores them: read by the types of their arguments, with absolute paths.

    A run can be resumed from any folder, so it stores no relative path. If the type is unknown, as for the options of parts,
    a string is a path if it looks like one (it has a separator or a suffix) and exists.
    """
    typed = {name: argument.accepts(Path) for name, argument in known.items() if argument.type is not Any}
    return {name: _absolute(value, typed.get(name)) for name, value in read_written(known, given).items()}


def _absolute(value: Any, is_path: bool | None) -> Any:
    """The value with absolute paths; ``is_path`` is None if the type is unknown."""
    if isinstance(value, Mapping):
        return {key: _absolute(each, None) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_absolute(each, is_path) for each in value]
    if not isinstance(value, str | Path):
        return value
    path = absolute_path(value)
    looks_like_path = path.name != str(value) or bool(path.suffix)
    exists = os.path.exists(path)  # False if the operating system refuses the path, where Path.exists raises
    convert = isinstance(value, Path) or (exists and (looks_like_path if is_path is None else is_path))
    return str(path) if convert else value
