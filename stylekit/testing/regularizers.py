"""Checks of regularisers: a scalar from a discriminator and two batches of images, with a gradient for its weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stylekit.seeding import seeded
from stylekit.testing.devices import TENSORS, Called, require_float64
from stylekit.testing.kit import Check, Subject, require
from stylekit.testing.options import OPTIONS
from stylekit.testing.pictures import BATCHES, SIDE, pictures

WHAT = "forward(discriminator, real, fake)"


class _Discriminator(nn.Module):
    """A small smooth discriminator that scores positions, at one scale or two."""

    def __init__(self, scales: int = 1) -> None:
        super().__init__()
        with seeded("discriminator"):
            self.layers = nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.Tanh(), nn.Conv2d(4, 1, 1))
        self.scales = scales

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        scores: Tensor = self.layers(image)
        return scores if self.scales == 1 else [scores, scores[..., ::2, ::2]]


def _builds(subject: Subject) -> str:
    penalty = subject.build()
    require(
        isinstance(penalty, nn.Module), f"A regularizer must be an nn.Module, and this is a {type(penalty).__name__}."
    )
    interval = getattr(penalty, "interval", None)
    require(
        isinstance(interval, int) and interval >= 1,
        f"The attribute interval must be a number of updates, at least 1, but it is {interval!r}: set it to 1 to add the "
        "penalty at every update of the discriminator.",
    )
    return f"every {interval} updates" if interval != 1 else "every update"


def _images(count: int = 2) -> tuple[Tensor, Tensor]:
    return pictures(count, SIDE, SIDE), pictures(count, SIDE, SIDE, which="style")


def _penalty(subject: Subject, count: int, scales: int) -> tuple[Tensor, _Discriminator]:
    discriminator = _Discriminator(scales)
    with seeded("forward"):
        value: Any = subject.build()(discriminator, *_images(count))
    return value, discriminator


def _scalars(subject: Subject) -> str:
    for count in BATCHES:
        for scales in (1, 2):
            value, _ = _penalty(subject, count, scales)
            valid = isinstance(value, Tensor) and value.ndim == 0 and bool(torch.isfinite(value))
            require(
                valid,
                f"{WHAT} must return a finite scalar, for a batch of {count} and {scales} scale{'s' * (scales > 1)}.",
            )
    return ""


def _gradients(subject: Subject) -> str:
    value, discriminator = _penalty(subject, 2, 1)
    weight = discriminator.layers[0].weight
    assert isinstance(weight, Tensor)
    (gradient,) = torch.autograd.grad(value, weight, allow_unused=True) if value.requires_grad else (None,)
    require(
        gradient is not None and bool(gradient.any()) and bool(gradient.isfinite().all()),
        f"{WHAT} must have a finite gradient with respect to the discriminator's weights: do not use no_grad, detach or "
        ".item() in it, and pass create_graph=True to torch.autograd.grad.",
    )
    return ""


def _float64(subject: Subject) -> str:
    penalty, discriminator = subject.build(), _Discriminator()
    require_float64(
        Called(discriminator, penalty), lambda *images: penalty(discriminator, *images).detach(), _images(), WHAT
    )
    return ""


CHECKS = (
    Check("builds", _builds),
    OPTIONS,
    TENSORS,
    Check("scalars", _scalars),
    Check("gradients", _gradients, after=("scalars",)),
    Check("float64", _float64, after=("tensors",)),
)
