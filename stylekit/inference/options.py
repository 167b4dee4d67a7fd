"""Options that a user sets for each image: the keyword-only arguments of a method's ``stylize``, ``transfer`` or
``sample``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from stylekit import images
from stylekit.errors import StylekitError
from stylekit.inference.controls import check_finite
from stylekit.method import Method
from stylekit.registry.schema import Argument, keyword_arguments, validate_arguments


def stylize_options(method: Method | type[Method]) -> dict[str, Argument]:
    """The options of stylising, by name: those of ``transfer`` if the method defines it, and of ``stylize`` otherwise."""
    kind = method if isinstance(method, type) else type(method)
    return keyword_arguments(kind.transfer if kind.transfer is not Method.transfer else kind.stylize)


def sample_options(method: Method | type[Method]) -> dict[str, Argument]:
    """The options of drawing samples, by name."""
    kind = method if isinstance(method, type) else type(method)
    return keyword_arguments(kind.sample)


def resolve_options(
    known: Mapping[str, Argument], given: Mapping[str, Any], what: str, device: torch.device
) -> dict[str, Any]:
    """Validates options, and reads those that are images.

    Args:
        known: from :func:`stylize_options` or :func:`sample_options`
        given: options by name; an image is a path, a PIL image or a tensor ``(1, 3, H, W)`` in [0, 1]
        what: what to call the owner of the options in messages
        device: device for images

    Raises:
        StylekitError: an option is unknown, has another type, is required but missing, or is an image that cannot be read.
    """
    read = {
        name: _read(value, name, device) if name in known and known[name].accepts(Tensor) else value
        for name, value in given.items()
    }
    return validate_arguments(known, read, what)


def _read(value: Any, name: str, device: torch.device) -> Any:
    if isinstance(value, str | Path):
        value = images.read(value)
    elif isinstance(value, Image.Image):
        value = images.from_pil(value)
    if isinstance(value, images.Picture):
        value = images.over_white(value.image, value.alpha)
    if not isinstance(value, Tensor):
        return value
    if value.ndim != 4 or value.shape[:2] != (1, 3) or not value.is_floating_point():
        raise StylekitError(
            f"The option {name!r} must be an image: a path, a PIL image, or a float tensor (1, 3, H, W) in [0, 1], "
            f"not {value.dtype} {tuple(value.shape)}."
        )
    check_finite(value, f"The option {name!r}")
    return value.to(device, torch.float32)
