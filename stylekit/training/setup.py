"""From the settings of a run to its method and its data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stylekit.errors import StylekitError, suggest
from stylekit.method import Method
from stylekit.registry import lookup, provenance
from stylekit.registry.parts import construct, make, override
from stylekit.training.settings import Settings


def build_method(settings: Settings) -> tuple[str, Method]:
    """Builds the method that the settings name: its registered name, and itself.

    Raises:
        StylekitError: no such method or preset, an argument that it does not take, or a folder that it needs is not given.
    """
    name, factory = lookup.find_method(settings.plugin)
    base = _preset(name, factory, settings.preset) if settings.preset else {}
    arguments = override(factory, base, settings.set, f"method {name!r}")
    method = construct(factory, arguments, f"method {name!r}")
    if settings.content and not settings.style and "style" in method.batch_keys:
        raise StylekitError(f"The method {name!r} needs pictures of the style too: --content DIR --style DIR.")
    provenance.record_origin(method, lookup.part_owner("method", name))
    return name, method


def _preset(method: str, factory: Callable[..., Method], name: str) -> Mapping[str, Any]:
    """The method's own preset of that name, or one that a plugin adds."""
    own: Mapping[str, Mapping[str, Any]] = getattr(factory, "presets", {})
    if name in own:
        return own[name]
    added = lookup.preset(method, name)
    if added is None:
        known = {*own, *lookup.presets(method)}
        raise StylekitError(f"The method {method!r} has no preset {name!r}. {suggest(name, known)}")
    return added[1]


def open_data(settings: Settings, split: str) -> Any:
    """Builds the data set that the settings name: two folders, the content's alone, one with both, or a registered one.

    Raises:
        StylekitError: no such folder or data set, or one without pictures.
    """
    spec: Any = settings.data or "scenes"
    if settings.content or settings.style:
        if settings.data is not None:
            raise StylekitError("Give either --content and --style, or --data.")
        spec = {"name": "folders", "content": settings.content, "style": settings.style}
    elif isinstance(spec, str) and Path(spec).is_absolute():
        spec = {"name": "folders", "data": spec}
    elif isinstance(spec, str) and not lookup.part_owners("dataset", spec):
        known = lookup.part_names("dataset")
        raise StylekitError(f"There is neither a folder nor a data set {spec!r}. {suggest(spec, known)}")
    return make("dataset", spec, size=settings.size, seed=settings.seed, split=split)


def open_preview(settings: Settings) -> Any:
    """The held-out pictures for the sample sheets; None where there are none, which is no reason not to train."""
    try:
        return open_data(settings, "test")
    except StylekitError:
        return None


def check_sides(method: Method, size: int) -> None:
    """Refuses pictures that are too small for a network.

    Raises:
        StylekitError: they are.
    """
    for name, part in method.named_children():
        least = getattr(part, "min_size", 1)
        if size < least:
            raise StylekitError(
                f"--size {size} is too small for {name} ({type(part).__name__}), which needs pictures of {least} pixels. "
                "Train on larger ones, or give it fewer steps down."
            )
