"""Encoders as those need them who build on their features: which layers they give, and of what shapes."""

from __future__ import annotations

import torch
from torch import nn

from stylekit.errors import StylekitError

__all__ = ["shapes"]

_SIDE = 256
"""Of the picture that is looked at: a power of two, and no smaller than any stride."""


def shapes(encoder: nn.Module) -> dict[str, tuple[int, int]]:
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
