"""Checks of image losses: a scalar from two images, lower for images that are more similar."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stylekit.testing.devices import TENSORS, require_float64, require_moves
from stylekit.testing.kit import Check, Subject, require
from stylekit.testing.options import OPTIONS
from stylekit.testing.pictures import BATCHES, SIDE, drawn, pictures, require_shape

WHAT = "forward(output, reference)"


def _builds(subject: Subject) -> str:
    loss = subject.build()
    require(isinstance(loss, nn.Module), f"A loss must be an nn.Module, and this is a {type(loss).__name__}.")
    return "compares two images"


def _inputs(count: int = 2) -> tuple[Tensor, Tensor]:
    return pictures(count, SIDE, SIDE), pictures(count, SIDE, SIDE, which="reference")


def _scalars(subject: Subject) -> str:
    loss = subject.build()
    for count in BATCHES:
        value = loss(*_inputs(count))
        valid = isinstance(value, Tensor) and value.ndim == 0 and bool(torch.isfinite(value))
        require(valid, f"{WHAT} must return a finite scalar, also for a batch of {count}.")
    return ""


def _sense(subject: Subject) -> str:
    loss = subject.build()
    image, other = _inputs()
    same, different = float(drawn(loss, (image, image.clone()))), float(drawn(loss, (image, other)))
    require(
        same <= different + 1e-6,
        f"forward(image, image) is {same:.3g}, but only {different:.3g} with another image as the reference: a loss must fall "
        "as images become more alike.",
    )
    return ""


def _gradients(subject: Subject) -> str:
    loss = subject.build()
    output, reference = _inputs()
    value = loss(output.requires_grad_(), reference).sum()
    (grad,) = torch.autograd.grad(value, output, allow_unused=True) if value.requires_grad else (None,)
    require(
        grad is not None and bool(grad.any()) and bool(torch.isfinite(grad).all()),
        f"{WHAT} must have a finite gradient with respect to the output: do not use no_grad, detach or .item() in it.",
    )
    return ""


def _change(subject: Subject) -> str:
    loss = subject.build()
    if not hasattr(loss, "change"):
        return "changes no images"
    given, before = _inputs(), _inputs()
    changed = loss.change(*given)
    require(
        isinstance(changed, tuple) and len(changed) == 2,
        "change(output, reference) must return what the output should be for a changed reference, and that reference.",
    )
    for image, like in zip(changed, given, strict=True):
        require_shape(image, like, "change(output, reference)")
        require(bool(image.isfinite().all()), "change(output, reference) must return finite images.")
    require(all(map(torch.equal, given, before)), "change(output, reference) must not change the images that it gets.")
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
    Check("change", _change),
    Check("float64", _float64, after=("tensors",)),
    Check("devices", _device, after=("tensors",)),
)
