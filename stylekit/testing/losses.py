"""What a loss must do: an adversarial one, with three verbs on scores, or one of two pictures."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from stylekit.testing.devices import TENSORS, Called, require_float64, require_moves
from stylekit.testing.kit import Check, Subject, require
from stylekit.testing.options import OPTIONS
from stylekit.testing.pictures import BATCHES, SIDE, drawn, pictures

VERBS = ("real", "fake", "fool")


def _builds(subject: Subject) -> str:
    loss = subject.build()
    require(isinstance(loss, nn.Module), f"It is built as {type(loss).__name__}: a loss is an nn.Module.")
    lacking = [verb for verb in VERBS if not hasattr(loss, verb)]
    require(
        len(lacking) in (0, 3), f"An adversarial loss has real, fake and fool; this one lacks {' and '.join(lacking)}."
    )
    return "image loss" if lacking else "adversarial: real, fake, fool"


def _adversarial(loss: nn.Module) -> bool:
    return hasattr(loss, "fool")


def _calls(loss: nn.Module) -> dict[str, Callable[..., Any]]:
    """The functions of a loss, by how to name them."""
    if _adversarial(loss):
        return {f"{verb}(scores)": getattr(loss, verb) for verb in VERBS}
    return {"forward(output, reference)": loss}


def _inputs(loss: nn.Module, count: int = 2) -> tuple[Tensor, ...]:
    if _adversarial(loss):
        return (4 * pictures(count, 4, 4, 1) - 2,)
    return pictures(count, SIDE, SIDE), pictures(count, SIDE, SIDE, which="reference")


def _scalars(subject: Subject) -> str:
    loss = subject.build()
    for count in BATCHES:
        inputs = _inputs(loss, count)
        for what, call in _calls(loss).items():
            value = call(*inputs)
            good = isinstance(value, Tensor) and value.ndim == 0 and bool(torch.isfinite(value))
            require(good, f"{what} must return a finite scalar, for a batch of {count} too.")
    return ""


def _sense(subject: Subject) -> str:
    loss = subject.build()
    if not _adversarial(loss):
        image, other = pictures(2), pictures(2, which="reference")
        alike, apart = float(drawn(loss, (image, image.clone()))), float(drawn(loss, (image, other)))
        require(
            alike <= apart + 1e-6,
            f"forward(image, image) is {alike:.3g}, and only {apart:.3g} with another picture for reference: a loss is to "
            "fall as pictures grow alike.",
        )
        return ""
    # Least squares have labels for real and fake, usually 1 and 0, beyond which they rise again.
    for verb, low, high, wanted in (
        ("real", 0.0, 1.0, "higher"),
        ("fake", 0.0, 1.0, "lower"),
        ("fool", -5.0, 5.0, "higher"),
    ):
        of_low, of_high = (float(getattr(loss, verb)(torch.full((2, 1, 4, 4), score))) for score in (low, high))
        good = of_high < of_low if wanted == "higher" else of_low < of_high
        require(good, f"{verb}(scores) must be lower for {wanted} scores.")
    return ""


def _scales(subject: Subject) -> str:
    loss = subject.build()
    if not _adversarial(loss):
        return ""
    scales = [pictures(2, 4, 4, 1), pictures(2, 2, 2, 1)]
    for what, call in _calls(loss).items():
        try:
            value = float(call(scales))
        except (TypeError, AttributeError, RuntimeError, ValueError):
            value = math.nan
        require(math.isfinite(value), f"{what} must take a list of scores too, one of each scale: average over them.")
    return "several scales"


def _gradients(subject: Subject) -> str:
    loss = subject.build()
    for what, call in _calls(loss).items():
        first, *others = _inputs(loss)
        value = call(first.requires_grad_(), *others).sum()
        (slope,) = torch.autograd.grad(value, first, allow_unused=True) if value.requires_grad else (None,)
        require(
            slope is not None and bool(slope.any()) and bool(torch.isfinite(slope).all()),
            f"{what} must have a finite gradient for its first argument: leave no_grad, detach and .item() out of it.",
        )
    return ""


def _float64(subject: Subject) -> str:
    loss = subject.build()
    for what, call in _calls(loss).items():
        require_float64(loss, call, _inputs(loss), what)
    return ""


def _device(subject: Subject) -> str:
    loss = subject.build()
    for what, call in _calls(loss).items():
        require_moves(Called(loss, call), _inputs(loss), what)
    return ""


LOSS = (
    Check("builds", _builds),
    OPTIONS,
    TENSORS,
    Check("scalars", _scalars),
    Check("sense", _sense, after=("scalars",)),
    Check("scales", _scales),
    Check("gradients", _gradients),
    Check("float64", _float64, after=("tensors",)),
    Check("devices", _device, after=("tensors",)),
)
