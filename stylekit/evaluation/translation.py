"""What a translator does to images that are in the style already, and to its own outputs on the way back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from stylekit.evaluation.inputs import Inputs
from stylekit.inference.model import Model
from stylekit.inference.options import stylize_options

__all__ = ["translation"]

BACK = {"direction": "b-to-a"}
"""The option by which a method of two directions translates back."""


def translation(model: Model, inputs: Inputs, options: Mapping[str, Any] = {}) -> dict[str, float]:
    """Measures a translator; both values are mean absolute differences in 8-bit levels, the smaller the better.

    Args:
        model: a model that applies no style image
        inputs: contents, and images of the style that it has learned
        options: the method's options for each image

    Returns:
        ``identity``: how much it changes images of the style, if there are any; and ``cycle``: how much the translation of
        a content, translated back, differs from it, if the method has the option ``direction``.
    """
    found: dict[str, float] = {}
    if inputs.styles is not None:
        found["identity"] = _mean(_change(image, model.stylize(image, **options)) for image in inputs.styles.values())
    if "direction" in stylize_options(model.method) and "direction" not in options:
        found["cycle"] = _mean(
            _change(image, model.stylize(model.stylize(image, **options), **options, **BACK))
            for image in inputs.contents.values()
        )
    return found


def _change(image: Tensor, other: Tensor) -> Tensor:
    return 255 * (image - other).abs().mean()


def _mean(values: Iterable[Tensor]) -> float:
    return float(torch.stack(list(values)).mean())
