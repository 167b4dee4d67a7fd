"""Projected GAN (Sauer et al. 2021): small discriminators on the features of a frozen encoder, mixed by fixed convolutions."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from stylekit import Part, StylekitError, hookimpl
from stylekit.encoders import frozen_encoder, layer_shapes
from stylekit.layers import Width, require_options


def fixed(before: int, after: int, side: int) -> nn.Conv2d:
    """A convolution with random weights that are not trained."""
    convolution = nn.Conv2d(before, after, side, padding=side // 2)
    nn.init.kaiming_normal_(convolution.weight)
    return convolution.requires_grad_(False)


class Projected(nn.Module):
    """One discriminator for each layer of an encoder, whose features are mixed across channels, then across scales.

    The mixing is random and fixed, so that no discriminator can ignore what the encoder sees (section 3.2). Images reach it
    only through the encoder, so a brief training is enough; but what the encoder ignores is not noticed.

    Args:
        encoder: frozen network; by default VGG-19 if there are weights of it, otherwise random filters
        width: channels of the mixed features, and of the discriminators

    Raises:
        StylekitError: an option is too small, or the encoder has no layer that is a feature map.
    """

    def __init__(self, encoder: Part | None = None, width: Width = 64) -> None:
        super().__init__()
        require_options(width=width)
        self.encoder = frozen_encoder(encoder)
        self.shapes = layer_shapes(self.encoder)
        if not self.shapes:
            raise StylekitError("The discriminator 'projected' needs an encoder with layers.")
        self.sample_independent = getattr(self.encoder, "sample_independent", False)
        self.min_size = 8 * max(stride for _, stride in self.shapes.values())
        self.across = nn.ModuleDict({name: fixed(channels, width, 1) for name, (channels, _) in self.shapes.items()})
        self.along = nn.ModuleDict({name: fixed(width, width, 3) for name in self.shapes})

        def conv(side: int, after: int, stride: int = 1) -> nn.Module:
            layer: nn.Module = spectral_norm(nn.Conv2d(width, after, side, stride, padding=1))
            return layer

        self.judges = nn.ModuleDict(
            {name: nn.Sequential(conv(4, width, 2), nn.LeakyReLU(0.2), conv(3, 1)) for name in self.shapes}
        )

    def forward(self, image: Tensor, condition: Tensor | None = None) -> list[Tensor]:
        """Returns raw scores ``(N, 1, H', W')`` for each layer, from fine to coarse, of images ``(N, 3, H, W)`` in [0, 1]."""
        mixed = dict(zip(self.shapes, self.features(image), strict=True))
        return [judge(mixed[name]) for name, judge in self.judges.items()]

    def features(self, image: Tensor, condition: Tensor | None = None) -> list[Tensor]:
        """The mixed features of each layer, from fine to coarse, each ``(N, width, H', W')``."""
        found, mixed, coarser = self.encoder(image), [], None
        for name in reversed(self.shapes):
            x = self.across[name](found[name])
            if coarser is not None:
                x = x + F.interpolate(coarser, x.shape[2:], mode="bilinear")
            coarser = self.along[name](x)
            mixed.append(coarser)
        return mixed[::-1]


@hookimpl
def stylekit_discriminators() -> dict[str, Callable[..., nn.Module]]:
    return {"projected": Projected}
