"""Checks of encoders: features by layer from a frozen network, with a gradient with respect to the image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from stylekit.testing.kit import require
from stylekit.testing.networks import NetworkKind, frozen, input_gradient, network_checks, require_rows
from stylekit.testing.pictures import SIDE, tensors


def _require_features(network: nn.Module, out: Any, inputs: tuple[Tensor, ...]) -> str:
    valid = isinstance(out, Mapping) and bool(out) and all(isinstance(each, Tensor) for each in out.values())
    require(valid, "forward(image) must return a mapping {layer: features}.")
    require_rows(tensors(out), inputs, "features")
    return f"layers {', '.join(map(str, out))}"


ENCODER = NetworkKind(
    "features", _require_features, side=lambda network: max(SIDE, int(getattr(network, "min_size", 1)))
)
CHECKS = network_checks(ENCODER, input_gradient(ENCODER), frozen(ENCODER))
