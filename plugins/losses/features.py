"""Losses on the features of a frozen encoder: what is seen, and in which style."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from stylekit import Part, hookimpl
from stylekit.encoders import encode, frozen_encoder
from stylekit.hookspecs import ImageLoss
from stylekit.losses import ContentLoss, StyleLoss


class _Features(nn.Module):
    """Computes features of both images; by default of VGG-19 if there are weights of it, otherwise of random filters."""

    def __init__(self, encoder: Part | None) -> None:
        super().__init__()
        self.encoder = frozen_encoder(encoder)

    def features(self, image: Tensor) -> dict[str, Tensor]:
        return {name: each.to(image.dtype) for name, each in encode(self.encoder, image).items()}


class Perceptual(_Features):
    """The squared difference of features (Johnson et al. 2016), after an instance norm, so that colours may change.

    Args:
        encoder: frozen network; by default VGG-19 if there are weights of it, otherwise random filters
        layers: the layers, or a weight for each; if empty, the last but one
        normalize: compare features after an instance norm
    """

    def __init__(
        self, encoder: Part | None = None, layers: Mapping[str, float] | tuple[str, ...] = (), normalize: bool = True
    ) -> None:
        super().__init__(encoder)
        self.layers, self.normalize = layers, normalize

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, 3, H, W)`` in [0, 1]: a scalar."""
        features = self.features(output)
        loss = ContentLoss(self.layers or tuple(features)[-2:-1] or tuple(features), self.normalize)
        with torch.no_grad():
            target = loss.target(self.features(reference))
        return loss(features, target).mean()


class Gram(_Features):
    """The error of the Gram matrices of features, relative to the reference's (Gatys et al. 2016).

    Args:
        encoder: frozen network; by default VGG-19 if there are weights of it, otherwise random filters
        layers: the layers, or a weight for each; if empty, all
    """

    def __init__(self, encoder: Part | None = None, layers: Mapping[str, float] | tuple[str, ...] = ()) -> None:
        super().__init__(encoder)
        self.loss = StyleLoss(layers)

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, 3, H, W)`` in [0, 1], whose sizes may differ: a scalar."""
        with torch.no_grad():
            target = self.loss.target(self.features(reference))
        return self.loss(self.features(output), target).mean()


@hookimpl
def stylekit_losses() -> dict[str, Callable[..., ImageLoss]]:
    return {"perceptual": Perceptual, "gram": Gram}
