"""Building parts: a string is a name to look up, a mapping is a name with options, and a callable is called.

The constructor's signature is the schema: names, types and defaults come from it, the help text from the docstring's
``Args:``, and pydantic checks what is given against it.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

import pydantic

from stylekit.errors import StylekitError, suggest
from stylekit.registry import lookup, provenance
from stylekit.registry.loading import Plugin

Part = str | Mapping[str, Any] | Callable[..., Any]
"""How a part is named: ``"resnet"``, ``{"name": "resnet", "blocks": 6}``, or ``ResNet`` itself."""


@dataclass(frozen=True)
class Argument:
    """One argument of a part's constructor."""

    name: str
    type: Any
    default: Any
    help: str

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty


def arguments(factory: Callable[..., Any]) -> dict[str, Argument]:
    """The arguments that a callable takes by name, in order."""
    made = factory.func if isinstance(factory, functools.partial) else factory
    target = made.__init__ if inspect.isclass(made) else made
    try:
        types = get_type_hints(target)
    except (NameError, TypeError):
        types = {}
    told = _args_section((inspect.getdoc(made) or "") + "\n" + (inspect.getdoc(target) or ""))
    return {
        name: Argument(name, types.get(name, Any), parameter.default, told.get(name, ""))
        for name, parameter in inspect.signature(factory).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


def _args_section(doc: str) -> dict[str, str]:
    """The lines below ``Args:``, by argument name."""
    section = re.search(r"^Args:\n((?:[ \t]+.*\n|[ \t]*\n)+)", doc + "\n", re.MULTILINE)
    if section is None:
        return {}
    entries = re.findall(r"^ +(\w+): (.*(?:\n {6,}.*)*)", section[1], re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def validate(factory: Callable[..., Any], given: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Checks and converts what is given against a callable's signature.

    Raises:
        StylekitError: an argument is unknown, has a value of the wrong type, or is missing.
    """
    known = arguments(factory)
    for name in given:
        if name not in known:
            raise StylekitError(f"The {what} has no option {name!r}. {suggest(str(name), known)}")
    missing = [name for name, argument in known.items() if argument.required and name not in given]
    if missing:
        raise StylekitError(f"The {what} needs the option {missing[0]!r}: {known[missing[0]].help or 'no default'}.")
    return {name: _convert(known[name], value, what) for name, value in given.items()}


def _convert(argument: Argument, value: Any, what: str) -> Any:
    config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    try:
        adapter = pydantic.TypeAdapter(argument.type, config=config)
    except pydantic.PydanticUserError:  # a type that brings its own configuration
        adapter = pydantic.TypeAdapter(argument.type)
    try:
        return adapter.validate_python(value)
    except pydantic.ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise StylekitError(
            f"The option {argument.name!r} of the {what} cannot be {value!r}: {reason} (default: {argument.default!r})."
        ) from None


def resolve_part(kind: str, spec: Part) -> tuple[Callable[..., Any], dict[str, Any], str, Plugin | None]:
    """What a part's specification means: the callable that builds it, its options, how to call it in a message, and the
    plugin that offers it, if it is named."""
    if isinstance(spec, str):
        plugin = lookup.part_owner(kind, spec)
        return lookup.parts_of_kind(plugin, kind)[spec], {}, f"{kind} {spec!r}", plugin
    if isinstance(spec, Mapping):
        options = {key: value for key, value in spec.items() if key != "name"}
        if not isinstance(spec.get("name"), str):
            raise StylekitError(f"A {kind} with options needs its name: {{'name': ..., {str(options)[1:]}.")
        factory, _, what, owner = resolve_part(kind, spec["name"])
        return factory, options, what, owner
    if hasattr(spec, "state_dict") and not inspect.isclass(spec):
        raise StylekitError(
            f"A {kind} is given as its class or a function that builds it, not as a built {type(spec).__name__}: "
            "a method may need several of them, each with weights of its own."
        )
    return spec, {}, f"{kind} {getattr(spec, '__name__', repr(spec))!r}", None


def override(
    factory: Callable[..., Any], base: Mapping[str, Any], changes: Mapping[str, Any], what: str
) -> dict[str, Any]:
    """Arguments with changes: ``key`` replaces one, ``part.option`` reaches into the specification of a part.

    Raises:
        StylekitError: the callable has no such argument, or it is not a part.
    """
    known = arguments(factory)
    result = dict(base)
    for key, value in sorted(changes.items(), key=lambda change: "." in change[0]):  # a part before its options
        head, dot, rest = key.partition(".")
        if head not in known:
            raise StylekitError(f"The {what} has no option {head!r}. {suggest(head, known)}")
        if not dot:
            result[head] = value
            continue
        spec = result.get(head, known[head].default)
        if not isinstance(spec, str | Mapping):
            raise StylekitError(f"{key!r} of the {what} reaches into {head!r}, which is {spec!r} and has no options.")
        result[head] = {**({"name": spec} if isinstance(spec, str) else spec), rest: value}
    return result


def make(kind: str, spec: Part, /, **options: Any) -> Any:
    """Builds a part.

    Args:
        kind: one of method, generator, discriminator, loss, dataset, encoder
        spec: name, mapping with ``name`` and options, or callable
        options: more constructor arguments; those in ``spec`` go before them

    Raises:
        StylekitError: unknown name or option, or a value of the wrong type.
    """
    factory, own, what, plugin = resolve_part(kind, spec)
    part = construct(factory, {**options, **own}, what)
    if plugin:
        provenance.record_origin(part, plugin)
    return part


def construct(factory: Callable[..., Any], given: Mapping[str, Any], what: str) -> Any:
    """Calls what builds a part, with validated options.

    Raises:
        StylekitError: an option does not fit, or the part could not be built with them.
    """
    options = validate(factory, given, what)
    try:
        return factory(**options)
    except (ValueError, TypeError, RuntimeError, ArithmeticError) as error:
        shown = ", ".join(f"{name}={value!r}" for name, value in options.items())
        raise StylekitError(f"The {what} cannot be built with {shown or 'its defaults'}: {error}") from error
