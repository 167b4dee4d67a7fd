"""Contrastive losses on the features of a frozen encoder: patches stay themselves, and differ as their neighbours did."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import Part, hookimpl
from stylekit.encoders import encode, frozen_encoder
from stylekit.hookspecs import ImageLoss
from stylekit.layers import Count, require_options
from stylekit.losses import patch_nce


class _Patches(nn.Module):
    """What both losses have in common: their options, and the features of an image."""

    def __init__(
        self,
        encoder: Part | None = None,
        layers: tuple[str, ...] = (),
        patches: Count = 64,
        temperature: float = 0.07,
    ) -> None:
        super().__init__()
        require_options(patches=patches)
        self.encoder = frozen_encoder(encoder)
        self.layers, self.patches, self.temperature = layers, patches, temperature

    def features(self, image: Tensor) -> dict[str, Tensor]:
        return {name: each.to(image.dtype) for name, each in encode(self.encoder, image, self.layers or None).items()}


class PatchNCE(_Patches):
    """Each patch of the output should be found among patches of the reference by its features (Park et al. 2020, equation 3).

    Args:
        encoder: frozen network; by default VGG-19 if there are weights of it, otherwise random filters
        layers: the layers; if empty, all
        patches: number of patches of each layer
        temperature: temperature of the cross-entropy
    """

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, 3, H, W)`` in [0, 1]: a scalar."""
        with torch.no_grad():
            theirs = self.features(reference)
        losses = []
        for name, ours in self.features(output).items():
            chosen = torch.randperm(ours.shape[2] * ours.shape[3], device=ours.device)[: self.patches]
            query, key = (F.normalize(x.flatten(2)[..., chosen].mT, dim=2) for x in (ours, theirs[name]))
            losses.append(patch_nce(query, key, self.temperature))
        return torch.stack(losses).mean()


class CCPL(_Patches):
    """The difference of two neighbouring patches should be found among those of the reference (Wu et al. 2022, "CCPL").

    It keeps local structure, and so consecutive frames of a video alike.

    Args:
        encoder: frozen network; by default VGG-19 if there are weights of it, otherwise random filters
        layers: the layers; if empty, all
        patches: number of patches of each layer, each with a neighbour
        temperature: temperature of the cross-entropy
    """

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, 3, H, W)`` in [0, 1]: a scalar."""
        with torch.no_grad():
            theirs = self.features(reference)
        losses = []
        for name, ours in self.features(output).items():
            height, width = ours.shape[2:]
            if min(height, width) < 2:
                continue
            row = torch.randint(height - 1, (self.patches,), device=ours.device)
            column = torch.randint(width - 1, (self.patches,), device=ours.device)
            down = torch.randint(2, (self.patches,), device=ours.device)
            query, key = (
                F.normalize((x[..., row, column] - x[..., row + down, column + 1 - down]).mT, dim=2)
                for x in (ours, theirs[name])
            )
            losses.append(patch_nce(query, key, self.temperature))
        return torch.stack(losses).mean() if losses else 0 * output.sum()


@hookimpl
def stylekit_losses() -> dict[str, Callable[..., ImageLoss]]:
    return {"patch-nce": PatchNCE, "ccpl": CCPL}
