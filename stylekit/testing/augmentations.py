"""Checks of augmentations: images of the same size, changed at random, with a gradient for the originals."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stylekit.seeding import seeded
from stylekit.testing.changes import DEVICES, FLOAT64, SEED
from stylekit.testing.devices import TENSORS
from stylekit.testing.kit import Check, Subject, require
from stylekit.testing.options import OPTIONS
from stylekit.testing.pictures import BATCHES, ODD, SIDE, pictures


def _builds(subject: Subject) -> str:
    augmentation = subject.build()
    require(
        isinstance(augmentation, nn.Module),
        f"An augmentation must be an nn.Module, and this is a {type(augmentation).__name__}.",
    )
    return "observes scores" if hasattr(augmentation, "observe") else ""


def _images(subject: Subject) -> str:
    augmentation = subject.build()
    for count in BATCHES:
        for size in ((SIDE, SIDE), ODD):
            image = pictures(count, *size)
            before = image.clone()
            with seeded("forward"):
                out: Any = augmentation(image)
            require(torch.equal(image, before), "forward changes its input: work on a copy, as in image.clone().")
            require(
                isinstance(out, Tensor) and out.shape == image.shape and bool(out.isfinite().all()),
                f"forward(image) must return finite images of the shape {tuple(image.shape)}.",
            )
    return ""


def _gradient(subject: Subject) -> str:
    image = pictures(2, SIDE, SIDE).requires_grad_()
    with seeded("forward"):
        out = subject.build()(image)
    (gradient,) = torch.autograd.grad(out.sum(), image, allow_unused=True) if out.requires_grad else (None,)
    require(
        gradient is not None and bool(gradient.any()),
        "The output must have a gradient with respect to the image, because the generator learns through it: do not use "
        "no_grad or detach in forward.",
    )
    return ""


CHECKS = (
    Check("builds", _builds),
    OPTIONS,
    TENSORS,
    Check("images", _images),
    SEED,
    Check("gradient of the image", _gradient, after=("images",)),
    FLOAT64,
    DEVICES,
)
