"""A distance of images by the features of a frozen encoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import Part, StylekitError, hookimpl
from stylekit.encoders import encode, frozen_encoder, layer_shapes
from stylekit.hookspecs import Metric
from stylekit.weights import read_state_dict


class PerceptualDistance(nn.Module):
    """The squared distance of unit features, averaged over positions and layers (Zhang et al. 2018, equation 1, unweighted).

    With the learned weights of channels, and the encoder that they were learned for, it is LPIPS, which is the sum over layers:
    ``{name: perceptual-distance, encoder: {name: vgg16, layers: [relu1_2, relu2_2, relu3_3, relu4_3, relu5_3]}, heads:
    vgg.pth}``, with the file ``lpips/weights/v0.1/vgg.pth`` of the package lpips. Values with and without cannot be compared.

    Args:
        encoder: frozen network; by default VGG-19 if there are weights of it, otherwise random filters
        layers: the layers; if empty, all
        against: what outputs are compared with: the true output, or their content
        heads: file with a weight for each channel of each layer, as ``lin0.model.1.weight`` (1, C, 1, 1) and so on

    Raises:
        StylekitError: the file of weights cannot be read, or does not fit the layers.
    """

    higher = False

    def __init__(
        self,
        encoder: Part | None = None,
        layers: tuple[str, ...] = (),
        against: Literal["truth", "content"] = "truth",
        heads: Path | None = None,
    ) -> None:
        super().__init__()
        self.encoder = frozen_encoder(encoder)
        self.layers, self.against = layers or tuple(layer_shapes(self.encoder)), against
        self.learned = heads is not None
        if heads is not None:
            self._read(heads)

    def _read(self, heads: Path) -> None:
        """Adds the weights of channels as buffers, by layer."""
        state, shapes = read_state_dict(heads), layer_shapes(self.encoder)
        for number, layer in enumerate(self.layers):
            key, shape = f"lin{number}.model.1.weight", (1, shapes[layer][0], 1, 1)
            if key not in state or tuple(state[key].shape) != shape:
                raise StylekitError(f"{heads} has no {key} of shape {shape}, as the layer {layer} needs.")
            self.register_buffer(f"head{number}", state[key].float())

    @torch.no_grad()
    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, 3, H, W)`` in [0, 1]: ``(N,)``, at least 0, and at most 4 without learned weights."""
        ours, theirs = (encode(self.encoder, image, self.layers, half=False) for image in (output, reference))
        distances = []
        for number, layer in enumerate(self.layers):
            squares = (F.normalize(ours[layer], dim=1) - F.normalize(theirs[layer], dim=1)).square()
            weighted = squares * self.get_buffer(f"head{number}").to(squares) if self.learned else squares
            distances.append(weighted.sum(1).mean((1, 2)))
        total = torch.stack(distances)
        return total.sum(0) if self.learned else total.mean(0)


@hookimpl
def stylekit_metrics() -> dict[str, Callable[..., Metric]]:
    return {"perceptual-distance": PerceptualDistance}
