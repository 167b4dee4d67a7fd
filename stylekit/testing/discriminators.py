"""Checks of discriminators: raw scores per image, and features if it offers them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stylekit.testing.kit import Check, Subject, require
from stylekit.testing.networks import NetworkKind, gradients, input_gradient, network_checks, require_rows, shaped
from stylekit.testing.pictures import SIDE, tensors


def _require_scores(network: nn.Module, out: Any, inputs: tuple[Tensor, ...]) -> str:
    maps = [out] if isinstance(out, Tensor) else out
    valid = isinstance(maps, list | tuple) and bool(maps) and all(isinstance(each, Tensor) for each in maps)
    require(valid, "forward(image) must return a tensor of scores, or a list of them.")
    require_rows(tensors(out), inputs, "scores")
    return f"scores {', '.join(str(tuple(scores.shape[1:])) for scores in tensors(out))}"


def _labels(network: nn.Module, images: Tensor) -> tuple[Tensor, ...]:
    """Labels for a discriminator that declares a number of classes."""
    classes = int(getattr(network, "classes", 0))
    return (torch.arange(len(images)) % classes,) if classes else ()


DISCRIMINATOR = NetworkKind(
    "scores",
    _require_scores,
    side=lambda network: max(2 * SIDE, int(getattr(network, "min_size", 1))),
    second=_labels,
)


def _features(subject: Subject) -> str:
    network = shaped(DISCRIMINATOR, subject).eval()
    if not hasattr(network, "features") or not callable(network.features):
        return ""
    inputs = DISCRIMINATOR.inputs(network)
    with torch.no_grad():
        features = network.features(*inputs)
    valid = isinstance(features, list | tuple) and bool(features) and all(isinstance(each, Tensor) for each in features)
    require(valid, "features(image) must return a list of feature maps.")
    require_rows(list(features), inputs, "features")
    return f"{len(features)} feature maps"


CHECKS = network_checks(
    DISCRIMINATOR, input_gradient(DISCRIMINATOR), gradients(DISCRIMINATOR), Check("features", _features)
)
