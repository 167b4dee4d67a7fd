"""Options that a user sets for each image: the keyword-only arguments of a method's ``stylize``, ``transfer``,
``sample`` or ``sample_from``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylekit.errors import StylekitError
from stylekit.inference.inputs import read_image
from stylekit.inference.several import Several
from stylekit.method import Layer, Method
from stylekit.registry.schema import Argument, keyword_arguments, read_written, validate_arguments


def stylize_options(method: Method | type[Method]) -> dict[str, Argument]:
    """The options of stylising, by name: those of ``transfer`` if the method defines it, and of ``stylize`` otherwise."""
    if isinstance(method, Several):
        return {name: option for known in method.known for name, option in known.items()}
    kind = method if isinstance(method, type) else type(method)
    return keyword_arguments(kind.transfer if kind.transfer is not Method.transfer else kind.stylize)


def sample_options(method: Method | type[Method]) -> dict[str, Argument]:
    """The options of drawing samples, by name."""
    kind = method if isinstance(method, type) else type(method)
    return keyword_arguments(kind.sample if kind.sample is not Method.sample else kind.sample_from)


def draw_samples(method: Method, count: int, options: Mapping[str, Any]) -> Tensor:
    """Draws images ``(count, 3, H, W)`` with options of :func:`sample_options`."""
    if type(method).sample is Method.sample:
        return method.sample_from(method.codes(count), **options)
    return method.sample(count, **options)


def frames_options(method: Method, options: Mapping[str, Any], strength: float | None, what: str) -> dict[str, Any]:
    """The arguments by name for the method's ``frames``, which need not accept a strength.

    Args:
        method: the method
        options: the options of the frames
        strength: the strength of the style; None for a method that has one style
        what: what to call the method in messages

    Raises:
        StylekitError: ``frames`` does not accept an option, or a strength other than 1.
    """
    given = dict(options) if strength is None else {**options, "strength": strength}
    accepted = inspect.signature(method.frames).parameters
    if any(each.kind is each.VAR_KEYWORD for each in accepted.values()):
        return given
    if strength == 1 and "strength" not in accepted:
        del given["strength"]
    for name in given:
        if name not in accepted:
            raise StylekitError(
                f"The {what} does not accept {name!r} for the frames of a clip. Leave it out, or stylise each image by itself."
            )
    return given


def resolve_options(
    known: Mapping[str, Argument], given: Mapping[str, Any], what: str, device: torch.device
) -> dict[str, Any]:
    """Validates options, and reads those that are images.

    Args:
        known: from :func:`stylize_options` or :func:`sample_options`
        given: options by name; an image is a path, a PIL image, an array or a tensor ``(1, 3, H, W)`` in [0, 1], or
            ``(1, 4, H, W)`` for a ``Layer``
        what: what to call the owner of the options in messages
        device: device for images

    Raises:
        StylekitError: an option is unknown, has another type, is required but missing, or is an image that cannot be read.
    """
    read = {
        name: _read(value, known[name], device) if _is_image(known.get(name), value) else value
        for name, value in read_written(known, given).items()
    }
    return validate_arguments(known, read, what)


def _is_image(argument: Argument | None, value: Any) -> bool:
    """Whether a value is to be read as an image: not if the type takes it as it is, as ``Literal["auto"] | Tensor`` does."""
    return (
        argument is not None and argument.accepts(Tensor) and (isinstance(value, Tensor) or not argument.takes(value))
    )


def _read(value: Any, option: Argument, device: torch.device) -> Any:
    if not isinstance(value, Tensor | Image.Image | np.ndarray | Path | str):
        return value
    channels = 4 if option.accepts(Layer) else 3
    return read_image(value, f"The option {option.name!r}", channels).to(device, torch.float32)
