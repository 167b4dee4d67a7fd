"""A distance of images by the features of a frozen encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import Part, hookimpl
from stylekit.encoders import encode, frozen_encoder
from stylekit.hookspecs import Metric


class PerceptualDistance(nn.Module):
    """The squared distance of unit features, averaged over positions and layers (Zhang et al. 2018, equation 1, unweighted).

    LPIPS is this distance with learned weights and certain encoders; values of the two cannot be compared.

    Args:
        encoder: frozen network; by default VGG-19 if there are weights of it, otherwise random filters
        layers: the layers; if empty, all
        against: what outputs are compared with: the true output, or their content
    """

    higher = False

    def __init__(
        self,
        encoder: Part | None = None,
        layers: tuple[str, ...] = (),
        against: Literal["truth", "content"] = "truth",
    ) -> None:
        super().__init__()
        self.encoder = frozen_encoder(encoder)
        self.layers, self.against = layers, against

    @torch.no_grad()
    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, 3, H, W)`` in [0, 1]: ``(N,)``, from 0 to 4."""
        ours, theirs = (encode(self.encoder, image, self.layers or None, half=False) for image in (output, reference))
        distances = [
            (F.normalize(ours[layer], dim=1) - F.normalize(theirs[layer], dim=1)).square().sum(1).mean((1, 2))
            for layer in ours
        ]
        return torch.stack(distances).mean(0)


@hookimpl
def stylekit_metrics() -> dict[str, Callable[..., Metric]]:
    return {"perceptual-distance": PerceptualDistance}
