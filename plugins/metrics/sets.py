"""Metrics of sets: how the distribution of outputs differs from that of real images, by features of a frozen encoder.

All are computed in float64 from whole sets, without random subsets, so that they can be reproduced.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import Part, StylekitError, hookimpl
from stylekit.encoders import encode, frozen_encoder, layer_shapes
from stylekit.hookspecs import Metric
from stylekit.layers import Count, require_options


class OfSets(nn.Module):
    """What these metrics have in common: the features of an image.

    Args:
        encoder: frozen network; by default VGG-19 if there are weights of it, otherwise random filters
        layer: the layer, whose features are averaged over the image; if empty, the deepest
    """

    against = "real"
    higher = False

    def __init__(self, encoder: Part | None = None, layer: str = "") -> None:
        super().__init__()
        self.encoder = frozen_encoder(encoder)
        self.layer = layer or list(layer_shapes(self.encoder))[-1]

    @torch.no_grad()
    def features(self, image: Tensor) -> Tensor:
        """The features ``(N, D)`` of images ``(N, 3, H, W)`` in [0, 1]."""
        return encode(self.encoder, image, (self.layer,), half=False)[self.layer].mean((2, 3))


def require_sets(output: Tensor, reference: Tensor, least: int, hint: str) -> tuple[Tensor, Tensor]:
    """Both sets in float64.

    Raises:
        StylekitError: one of them has fewer images than ``least``.
    """
    for name, each in (("outputs", output), ("real images", reference)):
        if len(each) < least:
            raise StylekitError(f"There are {len(each)} {name}, but this metric needs at least {least}. {hint}")
    return output.double(), reference.double()


class Frechet(OfSets):
    """The Fréchet distance of normal distributions fitted to both sets (Heusel et al. 2017, by Dowson and Landau 1982).

    It is called FID only with the features of a certain Inception network. Covariances need more images than features.

    Args:
        encoder: frozen network; by default VGG-19 if there are weights of it, otherwise random filters
        layer: the layer; if empty, the deepest
    """

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares features ``(N, D)`` and ``(M, D)``: a scalar, at least 0.

        Raises:
            StylekitError: there are not more images than features.
        """
        least = output.shape[1] + 1
        hint = "Use the metric 'mind' or 'kernel' for small sets."
        return frechet(*require_sets(output, reference, least, hint))


def frechet(one: Tensor, other: Tensor) -> Tensor:
    """The Fréchet distance, a scalar, of normal distributions fitted to features ``(N, D)`` and ``(M, D)``."""
    means, covariances = [each.mean(0) for each in (one, other)], [torch.cov(each.T) for each in (one, other)]
    # The eigenvalues of the product are those of a symmetric matrix, for which rounding errors are smaller.
    values, axes = torch.linalg.eigh(covariances[0])
    root = (axes * values.clamp(min=0).sqrt()) @ axes.T
    trace = torch.linalg.eigvalsh(root @ covariances[1] @ root).clamp(min=0).sqrt().sum()
    spread = covariances[0].trace() + covariances[1].trace() - 2 * trace
    distance: Tensor = (means[0] - means[1]).square().sum() + spread.clamp(min=0)
    return distance


class Kernel(OfSets):
    """The squared maximum mean discrepancy with a cubic kernel, unbiased (Binkowski et al. 2018), of the whole sets.

    It is called KID only with the features of a certain Inception network.

    Args:
        encoder: frozen network; by default VGG-19 if there are weights of it, otherwise random filters
        layer: the layer; if empty, the deepest
    """

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares features ``(N, D)`` and ``(M, D)``: a scalar, below 0 by chance if the distributions are equal.

        Raises:
            StylekitError: a set has fewer than two images.
        """
        one, other = require_sets(output, reference, 2, "Add images.")

        def within(x: Tensor) -> Tensor:
            kernel = cubic(x, x)
            return (kernel.sum() - kernel.diagonal().sum()) / (len(x) * (len(x) - 1))

        return within(one) + within(other) - 2 * cubic(one, other).mean()


def cubic(one: Tensor, other: Tensor) -> Tensor:
    """The kernel ``(N, M)`` of features ``(N, D)`` and ``(M, D)``."""
    return (one @ other.T / one.shape[1] + 1) ** 3


class MIND(OfSets):
    """The sliced Wasserstein distance: the sets are projected onto random axes, sorted, and compared in order.

    Multiplied by 3 D as in MIND (2026), which needs no covariances and so fewer images than the Fréchet distance.

    Args:
        encoder: frozen network; by default VGG-19 if there are weights of it, otherwise random filters
        layer: the layer; if empty, the deepest
        axes: number of axes; they are drawn with a fixed seed
    """

    def __init__(self, encoder: Part | None = None, layer: str = "", axes: Count = 1000) -> None:
        super().__init__(encoder, layer)
        require_options(axes=axes)
        self.axes = axes

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares features ``(N, D)`` and ``(M, D)``: a scalar, at least 0. The larger set is interpolated.

        Raises:
            StylekitError: a set has fewer than two images.
        """
        one, other = require_sets(output, reference, 2, "Add images.")
        generator = torch.Generator().manual_seed(0)
        axes = torch.randn(self.axes, one.shape[1], generator=generator, dtype=torch.float64).to(one.device)
        axes = F.normalize(axes, dim=1)
        count = min(len(one), len(other))
        shares = (torch.arange(count, dtype=torch.float64, device=one.device) + 0.5) / count
        ordered = [quantiles((each @ axes.T).sort(0).values, shares) for each in (one, other)]
        return 3 * one.shape[1] * (ordered[0] - ordered[1]).square().mean()


def quantiles(ordered: Tensor, shares: Tensor) -> Tensor:
    """The values at some shares ``(K,)`` of columns ``(N, A)`` in ascending order, interpolated linearly: ``(K, A)``."""
    position = (shares * len(ordered) - 0.5).clamp(0, len(ordered) - 1)
    below = position.floor().long()
    above = (below + 1).clamp(max=len(ordered) - 1)
    return torch.lerp(ordered[below], ordered[above], (position - below)[:, None])


class Neighbours(OfSets):
    """What the following have in common: balls around features, up to their k-th neighbour in the same set.

    Args:
        encoder: frozen network
        layer: the layer; if empty, the deepest
        neighbours: number of neighbours
    """

    higher = True

    def __init__(self, encoder: Part | None = None, layer: str = "", neighbours: Count = 5) -> None:
        super().__init__(encoder, layer)
        require_options(neighbours=neighbours)
        self.neighbours = neighbours

    def inside(self, points: Tensor, centres: Tensor) -> Tensor:
        """Which points ``(N, D)`` are in the balls of which centres ``(M, D)``: ``(N, M)``, boolean.

        Raises:
            StylekitError: there are too few images.
        """
        hint = "Use fewer neighbours."
        points, centres = require_sets(points, centres, self.neighbours + 1, hint)
        distances = torch.cdist(centres, centres, compute_mode="donot_use_mm_for_euclid_dist")
        radii = distances.kthvalue(self.neighbours + 1, 1).values  # the first neighbour is the point itself
        return torch.cdist(points, centres, compute_mode="donot_use_mm_for_euclid_dist") <= radii


class Precision(Neighbours):
    """The share of outputs that are near a real image (Kynkäänniemi et al. 2019, equation 2).

    Args:
        encoder: frozen network; by default VGG-19 if there are weights of it, otherwise random filters
        layer: the layer; if empty, the deepest
        neighbours: number of neighbours, 3 in the paper
    """

    def __init__(self, encoder: Part | None = None, layer: str = "", neighbours: Count = 3) -> None:
        super().__init__(encoder, layer, neighbours)

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares features ``(N, D)`` and ``(M, D)``: a scalar from 0 to 1."""
        return self.inside(output, reference).any(1).double().mean()


class Recall(Precision):
    """The share of real images that are near an output (Kynkäänniemi et al. 2019, equation 3).

    Args:
        encoder: frozen network; by default VGG-19 if there are weights of it, otherwise random filters
        layer: the layer; if empty, the deepest
        neighbours: number of neighbours, 3 in the paper
    """

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares features ``(N, D)`` and ``(M, D)``: a scalar from 0 to 1."""
        return super().forward(reference, output)


class Density(Neighbours):
    """How many real images an output is near, relative to the number of neighbours (Naeem et al. 2020, equation 3).

    Args:
        encoder: frozen network; by default VGG-19 if there are weights of it, otherwise random filters
        layer: the layer; if empty, the deepest
        neighbours: number of neighbours, 5 in the paper
    """

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares features ``(N, D)`` and ``(M, D)``: a scalar, at least 0, about 1 for equal distributions."""
        return self.inside(output, reference).double().sum(1).mean() / self.neighbours


class Coverage(Neighbours):
    """The share of real images with an output within their neighbourhood (Naeem et al. 2020, equation 4).

    Args:
        encoder: frozen network; by default VGG-19 if there are weights of it, otherwise random filters
        layer: the layer; if empty, the deepest
        neighbours: number of neighbours, 5 in the paper
    """

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares features ``(N, D)`` and ``(M, D)``: a scalar from 0 to 1."""
        return self.inside(output, reference).any(0).double().mean()


class Diversity(OfSets):
    """How far outputs are from each other, relative to real images: about 1, and 0 if all outputs are the same.

    The mean distance of features, over all pairs of different images of a set.

    Args:
        encoder: frozen network; by default VGG-19 if there are weights of it, otherwise random filters
        layer: the layer; if empty, the deepest
    """

    higher = True

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares features ``(N, D)`` and ``(M, D)``: a scalar, at least 0.

        Raises:
            StylekitError: a set has fewer than two images.
        """
        ours, theirs = (F.pdist(each).mean() for each in require_sets(output, reference, 2, "Add images."))
        return ours / theirs.clamp(min=1e-12)


class ClassifierScore(OfSets):
    """How clearly outputs belong to classes, and to how many (Salimans et al. 2016, equation 1), of the whole set.

    From 1 to the number of classes. It is called the Inception score only with the classes of a certain Inception network.

    Args:
        classifier: a network like an encoder, one of whose layers is the scores of the classes before a softmax
        layer: that layer; if empty, the last
    """

    higher = True

    def __init__(self, classifier: Part, layer: str = "") -> None:
        super().__init__(classifier, layer)

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """The score of outputs by their scores ``(N, classes)``; those of real images are not used."""
        logs = require_sets(output, output, 2, "Add images.")[0].log_softmax(1)
        mean = logs.exp().mean(0)
        return (logs.exp() * (logs - mean.clamp(min=1e-300).log())).sum(1).mean().exp()


@hookimpl
def stylekit_metrics() -> dict[str, Callable[..., Metric]]:
    return {
        "frechet": Frechet,
        "kernel": Kernel,
        "mind": MIND,
        "precision": Precision,
        "recall": Recall,
        "density": Density,
        "coverage": Coverage,
        "diversity": Diversity,
        "classifier-score": ClassifierScore,
    }
