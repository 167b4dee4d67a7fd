"""What an image loss must do: a scalar from two images, lower for images that are more alike."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stylekit.testing.devices import TENSORS, require_float64, require_moves
from stylekit.testing.kit import Check, Subject, require
from stylekit.testing.options import OPTIONS
from stylekit.testing.pictures import BATCHES, SIDE, drawn, pictures

WHAT = "forward(output, reference)"


def _builds(subject: Subject) -> str:
    loss = subject.build()
    require(isinstance(loss, nn.Module), f"It is built as {type(loss).__name__}: a loss is an nn.Module.")
    return "compares two images"


def _inputs(count: int = 2) -> tuple[Tensor, Tensor]:
    return pictures(count, SIDE, SIDE), pictures(count, SIDE, SIDE, which="reference")


def _scalars(subject: Subject) -> str:
    loss = subject.build()
    for count in BATCHES:
        value = loss(*_inputs(count))
        good = isinstance(value, Tensor) and value.ndim == 0 and bool(torch.isfinite(value))
        require(good, f"{WHAT} must return a finite scalar, for a batch of {count} too.")
    return ""


def _sense(subject: Subject) -> str:
    loss = subject.build()
    image, other = _inputs()
    alike, apart = float(drawn(loss, (image, image.clone()))), float(drawn(loss, (image, other)))
    require(
        alike <= apart + 1e-6,
        f"forward(image, image) is {alike:.3g}, and only {apart:.3g} with another image for reference: a loss must fall as "
        "images grow alike.",
    )
    return ""


def _gradients(subject: Subject) -> str:
    loss = subject.build()
    output, reference = _inputs()
    value = loss(output.requires_grad_(), reference).sum()
    (slope,) = torch.autograd.grad(value, output, allow_unused=True) if value.requires_grad else (None,)
    require(
        slope is not None and bool(slope.any()) and bool(torch.isfinite(slope).all()),
        f"{WHAT} must have a finite gradient for the output: leave no_grad, detach and .item() out of it.",
    )
    return ""


def _float64(subject: Subject) -> str:
    loss = subject.build()
    require_float64(loss, loss, _inputs(), WHAT)
    return ""


def _device(subject: Subject) -> str:
    loss = subject.build()
    require_moves(loss, _inputs(), WHAT)
    return ""


CHECKS = (
    Check("builds", _builds),
    OPTIONS,
    TENSORS,
    Check("scalars", _scalars),
    Check("sense", _sense, after=("scalars",)),
    Check("gradients", _gradients),
    Check("float64", _float64, after=("tensors",)),
    Check("devices", _device, after=("tensors",)),
)
