"""Checks of degradations: images in [0, 1], their sides divided by ``scale``, and the same ones for the same seed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stylekit.seeding import seeded
from stylekit.testing.changes import DEVICES, FLOAT64, SEED
from stylekit.testing.devices import TENSORS
from stylekit.testing.kit import Check, Subject, require
from stylekit.testing.options import OPTIONS
from stylekit.testing.pictures import BATCHES, ODD, SIDE, pictures, require_image


def _builds(subject: Subject) -> str:
    degradation = subject.build()
    require(
        isinstance(degradation, nn.Module),
        f"A degradation must be an nn.Module, and this is a {type(degradation).__name__}.",
    )
    scale: Any = getattr(degradation, "scale", 1)
    require(
        isinstance(scale, int) and scale >= 1,
        f"The attribute scale must be a whole number, by which the sides are divided, but it is {scale!r}.",
    )
    return f"divides the sides by {scale}" if scale > 1 else ""


def _images(subject: Subject) -> str:
    degradation = subject.build()
    scale = getattr(degradation, "scale", 1)
    for count in BATCHES:
        for size in ((SIDE, SIDE), ODD):
            image = pictures(count, *size)
            before = image.clone()
            with seeded("forward"):
                out: Any = degradation(image)
            require(torch.equal(image, before), "forward changes its input: work on a copy, as in image.clone().")
            height, width = (side // scale for side in size)
            require(
                isinstance(out, Tensor) and out.shape == (count, 3, height, width),
                f"forward(image) must return images of the shape {(count, 3, height, width)} for {tuple(image.shape)}, "
                f"because scale is {scale}.",
            )
            require_image(out, out, "forward(image)")
    return ""


CHECKS = (
    Check("builds", _builds),
    OPTIONS,
    TENSORS,
    Check("images", _images, after=("builds",)),
    SEED,
    FLOAT64,
    DEVICES,
)
