"""Building parts: a string is a name to look up, a mapping is a name with options, and a callable is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, overload

from stylekit.errors import StylekitError
from stylekit.registry import lookup, provenance
from stylekit.registry.loading import Plugin
from stylekit.registry.schema import validate

if TYPE_CHECKING:
    from torch import nn

    from stylekit.hookspecs import AdversarialLoss, Discriminator, Encoder, Generator, ImageLoss

    class GeneratorModule(Generator, nn.Module): ...

    class DiscriminatorModule(Discriminator, nn.Module): ...

    class AdversarialLossModule(AdversarialLoss, nn.Module): ...

    class ImageLossModule(ImageLoss, nn.Module): ...

    class EncoderModule(Encoder, nn.Module): ...


Part = str | Mapping[str, Any] | Callable[..., Any]
"""How a part is named: ``"resnet"``, ``{"name": "resnet", "blocks": 6}``, or ``ResNet`` itself."""


def resolve_part(kind: str, spec: Part) -> tuple[Callable[..., Any], dict[str, Any], str, Plugin | None]:
    """What a part's specification means: its factory, its options, what to call it in a message, and the plugin that
    offers it, if it is named."""
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


@overload
def make(kind: Literal["generator"], spec: Part, /, **options: Any) -> GeneratorModule: ...
@overload
def make(kind: Literal["discriminator"], spec: Part, /, **options: Any) -> DiscriminatorModule: ...
@overload
def make(kind: Literal["adversarial"], spec: Part, /, **options: Any) -> AdversarialLossModule: ...
@overload
def make(kind: Literal["loss"], spec: Part, /, **options: Any) -> ImageLossModule: ...
@overload
def make(kind: Literal["encoder"], spec: Part, /, **options: Any) -> EncoderModule: ...
@overload
def make(kind: str, spec: Part, /, **options: Any) -> Any: ...
def make(kind: str, spec: Part, /, **options: Any) -> Any:
    """Builds a part.

    Args:
        kind: what it is: method, generator, discriminator, adversarial, loss, dataset or encoder
        spec: its name, a mapping with ``name`` and options, or its factory
        options: more constructor arguments; those in ``spec`` take precedence

    Raises:
        StylekitError: unknown name or option, or a value of the wrong type.
    """
    factory, own, what, plugin = resolve_part(kind, spec)
    part = construct(factory, {**options, **own}, what)
    if plugin:
        provenance.record_origin(part, plugin)
    return part


def construct(factory: Callable[..., Any], given: Mapping[str, Any], what: str) -> Any:
    """Calls a part's factory with validated options.

    Raises:
        StylekitError: an option does not fit, or the part could not be built with them.
    """
    options = validate(factory, given, what)
    try:
        return factory(**options)
    except (ValueError, TypeError, RuntimeError, ArithmeticError) as error:
        shown = ", ".join(f"{name}={value!r}" for name, value in options.items())
        raise StylekitError(f"The {what} cannot be built with {shown or 'its defaults'}: {error}") from error
