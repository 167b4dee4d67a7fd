"""Encoders as those need them who build on their features: their layers, of what shapes they are, and the way back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from stylekit.errors import StylekitError, suggest
from stylekit.layers import NarrowConv2d

__all__ = ["layer_shapes", "mirror_decoder", "require_layers"]

_SIDE = 256
"""Of the picture that is looked at: a power of two, and no smaller than any stride."""
_ALIKE = {1: 1, 2: 1, 4: 3, 8: 3, 16: 3}
"""How many convolutions without a change of width VGG-19 has at a stride, and so its mirror image."""


def layer_shapes(encoder: nn.Module) -> dict[str, tuple[int, int]]:
    """Channels and stride of each layer of an encoder, in the encoder's order.

    The stride says how often smaller than the picture a layer is. The encoder looks at a picture on the meta device,
    where nothing is computed: so its weights may come later, from a model file, and it stays as it is.

    Args:
        encoder: a network ``forward(image) -> {layer: features}``

    Raises:
        StylekitError: a layer is no feature map ``(N, C, H, W)`` of a whole stride.
    """
    state = {**dict(encoder.named_parameters()), **dict(encoder.named_buffers())}
    meta = {name: tensor.detach().to("meta") for name, tensor in state.items()}
    dtype = next((tensor.dtype for tensor in meta.values() if tensor.is_floating_point()), None)
    picture = torch.zeros(1, 3, _SIDE, _SIDE, dtype=dtype, device="meta")
    found: dict[str, tuple[int, int]] = {}
    for layer, features in torch.func.functional_call(encoder, meta, (picture,)).items():
        if features.ndim != 4 or features.shape[2] != features.shape[3] or _SIDE % features.shape[2]:
            raise StylekitError(
                f"The layer {layer!r} of the encoder is {tuple(features.shape)} for a picture of {_SIDE} pixels, and must "
                "be a feature map (N, C, H, W) whose sides divide the picture's. Leave it out of the encoder's layers, or "
                "take another encoder."
            )
        found[layer] = (features.shape[1], _SIDE // features.shape[2])
    return found


def require_layers(wanted: Iterable[str], given: Iterable[str]) -> None:
    """Refuses names of layers that an encoder does not give.

    Raises:
        StylekitError: it does not give one of them; it names the nearest, and all that it gives.
    """
    given = list(given)
    for layer in wanted:
        if layer not in given:
            raise StylekitError(f"The encoder gives no layer {layer!r}. {suggest(layer, given)}")


def mirror_decoder(layers: Sequence[tuple[int, int]]) -> nn.Sequential:
    """A decoder of an encoder's deepest layer to a picture, which goes the encoder's way back.

    For VGG-19 its layout, and that of its weights, is the decoder's of Huang and Belongie 2017 (section 6.1, to relu4_1)
    and of Li et al. 2017 (section 3.1, from each of its five).

    Args:
        layers: channels and stride of each, from shallow to deep, as :func:`shapes` tells them; the last one is decoded

    Returns:
        A network ``forward(features) -> image``, from ``(N, C, H, W)`` to ``(N, 3, H * stride, W * stride)``. Both sides
        of the features must be of two pixels at least, for what is beyond the margin is mirrored.
    """
    width, stride = layers[-1]
    way = {stride: channels for channels, stride in reversed(layers)}  # the shallowest of each stride
    way.setdefault(1, layers[0][0])
    chain: list[nn.Module] = []

    def convolve(before: int, after: int) -> None:
        chain.extend([nn.ReflectionPad2d(1), nn.Conv2d(before, after, 3), nn.ReLU()])

    for finer in sorted((each for each in way if each < stride), reverse=True):
        convolve(width, way[finer])
        width = way[finer]
        chain.append(nn.Upsample(scale_factor=stride // finer))
        stride = finer
        for _ in range(_ALIKE.get(stride, 1)):
            convolve(width, width)
    return nn.Sequential(*chain, nn.ReflectionPad2d(1), NarrowConv2d(width, 3, 3))
