"""Building parts from their specification: a name, a mapping with a name and options, or a callable."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, overload

from stylekit.errors import StylekitError
from stylekit.registry import lookup, provenance
from stylekit.registry.loading import Plugin
from stylekit.registry.schema import validate

if TYPE_CHECKING:
    from torch import nn

    from stylekit.hookspecs import (
        AdversarialLoss,
        Augmentation,
        Degradation,
        Discriminator,
        Encoder,
        Generator,
        ImageLoss,
        Metric,
        Regularizer,
    )

    class GeneratorModule(Generator, nn.Module): ...

    class DiscriminatorModule(Discriminator, nn.Module): ...

    class AdversarialLossModule(AdversarialLoss, nn.Module): ...

    class RegularizerModule(Regularizer, nn.Module): ...

    class AugmentationModule(Augmentation, nn.Module): ...

    class DegradationModule(Degradation, nn.Module): ...

    class ImageLossModule(ImageLoss, nn.Module): ...

    class MetricModule(Metric, nn.Module): ...

    class EncoderModule(Encoder, nn.Module): ...


Part = str | Mapping[str, Any] | Callable[..., Any]
"""The specification of a part: ``"resnet"``, ``{"name": "resnet", "blocks": 6}``, or ``ResNet`` itself."""


def part_key(spec: Part, taken: Iterable[str], unnamed: str) -> str:
    """A name for a part among others: that of the part or of its factory, with a number if it is taken.

    Args:
        spec: the part
        taken: names of the others
        unnamed: name of a factory that has none, such as a partial
    """
    part = spec["name"] if isinstance(spec, Mapping) else spec
    name = part if isinstance(part, str) else getattr(part, "__name__", unnamed).lower()
    others = list(taken)
    return name if name not in others else f"{name}{len(others)}"


def resolve_part(kind: str, spec: Part) -> tuple[Callable[..., Any], dict[str, Any], str, Plugin | None]:
    """Resolves a part's specification to its factory, its options, its name for messages, and the plugin that provides it,
    if the specification has a name."""
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
            f"A {kind} must be a class or a function that builds one, not an instance of {type(spec).__name__}, because a "
            "method may need several of them, each with its own weights."
        )
    if not callable(spec):
        raise StylekitError(f"A {kind} is given by its name, a mapping with a name, or a callable, not {spec!r}.")
    return spec, {}, f"{kind} {getattr(spec, '__name__', repr(spec))!r}", None


@overload
def make(kind: Literal["generator"], spec: Part, /, **options: Any) -> GeneratorModule: ...
@overload
def make(kind: Literal["discriminator"], spec: Part, /, **options: Any) -> DiscriminatorModule: ...
@overload
def make(kind: Literal["adversarial"], spec: Part, /, **options: Any) -> AdversarialLossModule: ...
@overload
def make(kind: Literal["regularizer"], spec: Part, /, **options: Any) -> RegularizerModule: ...
@overload
def make(kind: Literal["augmentation"], spec: Part, /, **options: Any) -> AugmentationModule: ...
@overload
def make(kind: Literal["degradation"], spec: Part, /, **options: Any) -> DegradationModule: ...
@overload
def make(kind: Literal["loss"], spec: Part, /, **options: Any) -> ImageLossModule: ...
@overload
def make(kind: Literal["metric"], spec: Part, /, **options: Any) -> MetricModule: ...
@overload
def make(kind: Literal["encoder"], spec: Part, /, **options: Any) -> EncoderModule: ...
@overload
def make(kind: str, spec: Part, /, **options: Any) -> Any: ...
def make(kind: str, spec: Part, /, **options: Any) -> Any:
    """Builds a part.

    Args:
        kind: kind of the part: method, generator, discriminator, adversarial, regularizer, augmentation, degradation, loss,
            metric, dataset or encoder
        spec: its name, a mapping with ``name`` and options, or its factory
        options: more constructor arguments; those in ``spec`` take precedence

    Raises:
        StylekitError: a name or option is unknown, or a value has the wrong type.
    """
    factory, own, what, plugin = resolve_part(kind, spec)
    part = construct(factory, {**options, **own}, what)
    if plugin:
        provenance.record_origin(part, plugin)
    return part


def construct(factory: Callable[..., Any], given: Mapping[str, Any], what: str) -> Any:
    """Calls a part's factory with validated options.

    Raises:
        StylekitError: an option is invalid, or the part cannot be built with these options.
    """
    options = validate(factory, given, what)
    try:
        return factory(**options)
    except (ValueError, TypeError, RuntimeError, ArithmeticError) as error:
        shown = ", ".join(f"{name}={value!r}" for name, value in options.items())
        raise StylekitError(f"The {what} cannot be built with {shown or 'its defaults'}: {error}") from error
