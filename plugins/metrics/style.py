"""Metrics of style transfer: how far an output is from its content, and from its style."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import Part, hookimpl
from stylekit.encoders import encode, frozen_encoder, layer_shapes, remembered
from stylekit.hookspecs import Metric
from stylekit.layers import Count, require_options
from stylekit.losses import ContentLoss, StyleLoss


class Encoded(nn.Module):
    """What these metrics have in common: an encoder, and layers of it."""

    higher = False

    def __init__(self, encoder: Part | None, layers: tuple[str, ...], start: int, stop: int | None) -> None:
        super().__init__()
        self.encoder = frozen_encoder(encoder)
        self.layers = layers or tuple(layer_shapes(self.encoder))[start:stop]

    @torch.no_grad()
    def encoded(self, image: Tensor) -> dict[str, Tensor]:
        """The features ``(N, C, H, W)`` of the layers."""
        return encode(self.encoder, image, self.layers, half=False)


class ContentDistance(Encoded):
    """The mean squared difference of features whose channels have mean 0 and deviation 1; 2 for unrelated images.

    Means and deviations describe the style (Huang and Belongie 2017), so colours and contrasts do not count.

    Args:
        encoder: frozen network; by default VGG-19 if there are weights of it, otherwise random filters
        layers: the layers, over which the mean is taken; if empty, the last but one, which is relu4_1 of VGG-19
    """

    against = "content"

    def __init__(self, encoder: Part | None = None, layers: tuple[str, ...] = ()) -> None:
        super().__init__(encoder, layers, -2, -1)
        self.loss = ContentLoss(self.layers, normalize=True, eps=1e-5)

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, 3, H, W)`` in [0, 1]: ``(N,)``, at least 0."""
        target = remembered(self, reference, lambda image: self.loss.target(self.encoded(image)))
        return self.loss(self.encoded(output), target)


class StyleDistance(Encoded):
    """The squared error of statistics, relative to those of the style for Gram matrices; the mean over layers.

    Args:
        encoder: frozen network; by default VGG-19 if there are weights of it, otherwise random filters
        layers: the layers; if empty, all, which are relu1_1 to relu5_1 of VGG-19
        statistic: Gram matrices (Gatys et al. 2016), or moments, the means and deviations of channels
    """

    against = "style"

    def __init__(
        self,
        encoder: Part | None = None,
        layers: tuple[str, ...] = (),
        statistic: Literal["gram", "moments"] = "gram",
    ) -> None:
        super().__init__(encoder, layers, 0, None)
        self.loss = StyleLoss(self.layers, statistic)

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, 3, H, W)`` in [0, 1] of any two sizes: ``(N,)``, at least 0."""
        target = remembered(self, reference, lambda image: self.loss.target(self.encoded(image)))
        return self.loss(self.encoded(output), target)


class CFSD(Encoded):
    """The divergence of the self-similarities of content features (Chung et al. 2024, "Style injection in diffusion").

    The inner products of a position with all others, of features divided by the number of channels, become a distribution by a
    softmax. The metric is the Kullback-Leibler divergence of the output's distributions from the content's, averaged over
    positions, in nats. Of more positions than ``positions``, a random choice that is always the same is compared.

    Args:
        encoder: frozen network; by default VGG-19 if there are weights of it, otherwise random filters
        layers: one layer; if empty, the third, which is relu3_1 of VGG-19
        positions: largest number of positions
    """

    against = "content"

    def __init__(self, encoder: Part | None = None, layers: tuple[str, ...] = (), positions: Count = 1000) -> None:
        super().__init__(encoder, layers, 2, 3)
        require_options(positions=positions)
        self.positions = positions

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, 3, H, W)`` of one size in [0, 1]: ``(N,)``, at least 0."""
        ours, theirs = (remembered(self, image, self._similarities)["logarithms"] for image in (output, reference))
        return F.kl_div(theirs, ours, reduction="none", log_target=True).sum(2).mean(1)

    def _similarities(self, image: Tensor) -> dict[str, Tensor]:
        (features,) = self.encoded(image).values()
        rows = features.flatten(2).mT / features.shape[1]
        if rows.shape[1] > self.positions:
            order = torch.randperm(rows.shape[1], generator=torch.Generator().manual_seed(0))
            rows = rows[:, order[: self.positions].to(rows.device)]
        return {"logarithms": (rows @ rows.mT).log_softmax(2)}


class ColorHistogram(nn.Module):
    """The Hellinger distance of colour histograms: 0 for equal shares of all colours, 1 for no colour in common.

    Args:
        bins: number of intervals of each of red, green and blue
    """

    against = "style"
    higher = False

    def __init__(self, bins: Count = 8) -> None:
        super().__init__()
        require_options(bins=bins)
        self.bins = bins

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, 3, H, W)`` in [0, 1] of any two sizes: ``(N,)``, from 0 to 1."""
        ours, theirs = (self._shares(image) for image in (output, reference))
        return (1 - (ours * theirs).sqrt().sum(1)).clamp(min=0).sqrt()

    def _shares(self, image: Tensor) -> Tensor:
        cells = (image.clamp(0, 1) * self.bins).long().clamp(max=self.bins - 1).flatten(2)
        number = (cells[:, 0] * self.bins + cells[:, 1]) * self.bins + cells[:, 2]
        counts = image.new_zeros(len(image), self.bins**3)
        return counts.scatter_add_(1, number, torch.ones_like(number, dtype=image.dtype)) / number.shape[1]


@hookimpl
def stylekit_metrics() -> dict[str, Callable[..., Metric]]:
    return {
        "content-distance": ContentDistance,
        "style-distance": StyleDistance,
        "cfsd": CFSD,
        "color-histogram": ColorHistogram,
    }
