"""Checks of generators: an image of the content's size and range, for any size, with or without a style."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stylekit.testing.kit import Check, Subject, require
from stylekit.testing.networks import NetworkKind, gradients, network_checks, shaped
from stylekit.testing.pictures import SIDE, drawn, equal, pictures, require_image
from stylekit.weights.tensors import fit


def _require_image(network: nn.Module, out: Any, inputs: tuple[Tensor, ...]) -> str:
    scale = int(getattr(network, "scale", 1))
    require_image(out, inputs[0], "forward(content)", scale)
    height, width = inputs[0].shape[-2:]
    return f"{scale} x {height}x{width}" if scale > 1 else f"keeps {height}x{width}"


def _require_style_argument(network: nn.Module) -> None:
    signature = inspect.signature(network.forward)
    try:
        signature.bind(None)
        signature.bind(None, None)
        accepts = True
    except TypeError:
        accepts = False
    require(accepts, "forward must accept (content, style=None), even if it does not use the style.")


def _styles(network: nn.Module, images: Tensor) -> tuple[Tensor, ...]:
    count, channels, height, width = images.shape
    return (pictures(count, height, width, channels, "style"),)


def _narrowed(subject: Subject) -> str:
    network = shaped(GENERATOR, subject).eval()
    if not hasattr(network, "narrowed"):
        return ""
    inputs = GENERATOR.inputs(network)
    for keep in (0.5, 1.0):
        options, weights = network.narrowed(keep)  # type: ignore[operator]
        narrower = subject.build(0, **options).eval()
        fit(narrower, weights, Path(f"narrowed({keep:g})"))
        GENERATOR.call(narrower, *inputs)
    with torch.no_grad():
        same = equal(drawn(network, inputs), drawn(narrower, inputs))
    require(same, "narrowed(1) must return the options and weights of the same network.")
    return "narrows"


GENERATOR = NetworkKind(
    "size and range",
    _require_image,
    side=lambda network: SIDE,  # a generator must accept any size: it pads smaller images
    second=_styles,
    require_built=_require_style_argument,
)
CHECKS = network_checks(GENERATOR, gradients(GENERATOR), Check("narrowing", _narrowed, after=("size and range",)))
