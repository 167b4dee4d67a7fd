"""Losses for style transfer, on images and on the features of any encoder.

Every loss returns one value per image, ``(N,)``; the method computes the mean or the sum. :class:`ContentLoss` and
:class:`StyleLoss` compare features ``{layer: (N, C, H, W)}`` of any encoder over several layers::

    content = ContentLoss({"relu3_1": 0.5, "relu4_1": 1.0}, normalize=True)
    style = StyleLoss(("relu1_1", "relu2_1", "relu3_1", "relu4_1"))

    features = encoder(output)
    loss = content(features, content.target(encoder(photo))) + 10 * style(features, style.target(encoder(painting)))
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit.errors import StylekitError
from stylekit.ops import channel_stats, gram_matrix, instance_norm
from stylekit.ops.reference import wide
from stylekit.registry.extras import import_extra

__all__ = [
    "ContentLoss",
    "PathLength",
    "StructuralSimilarity",
    "StyleLoss",
    "color_moments",
    "edge_strength",
    "feature_loss",
    "feature_matching",
    "gram_loss",
    "image_scores",
    "mode_seeking",
    "moment_loss",
    "moments",
    "patch_nce",
    "total_variation",
]

Features = Mapping[str, Tensor]
Layers = Sequence[str] | Mapping[str, float]
"""Layer names, or a weight for each layer name. Names without weights share a weight of 1 equally. Empty: all layers."""


def feature_loss(features: Tensor, target: Tensor) -> Tensor:
    """The mean squared difference of features (Gatys et al. 2016, equation 1, as a mean).

    Args:
        features: ``(N, C, H, W)``
        target: of the same shape, or with one row for all

    Returns:
        ``(N,)``, at least 0.
    """
    return (features - target).square().mean((1, 2, 3))


def gram_loss(gram: Tensor, target: Tensor, relative: bool = True) -> Tensor:
    """The squared error of Gram matrices (Gatys et al. 2016, equation 4).

    Args:
        gram: from :func:`stylekit.ops.gram_matrix`, ``(N, C, C)``
        target: ``(N, C, C)``, or ``(1, C, C)`` for all
        relative: divide the sum of squares by that of the target, clamped to at least 1e-12, so that the same weight suits
            every layer of every encoder; otherwise, use the mean of the squares

    Returns:
        ``(N,)``, at least 0.
    """
    error = (gram - target).square()
    if not relative:
        return error.mean((1, 2))
    return error.sum((1, 2)) / target.square().sum((1, 2)).clamp(min=1e-12)


def moments(features: Tensor, eps: float = 1e-5, unbiased: bool = False) -> tuple[Tensor, Tensor]:
    """The mean and the standard deviation ``(N, C)`` of each channel.

    Args:
        features: ``(N, C, H, W)``
        eps: added to the variance
        unbiased: divide the variance by the number of pixels minus one
    """
    pixels = features.shape[2] * features.shape[3]
    factor = pixels / max(pixels - 1, 1) if unbiased else 1.0
    mean, std = channel_stats(features, eps / factor)  # so that eps itself is not multiplied by the factor below
    return mean, std * factor**0.5


def moment_loss(found: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor]) -> Tensor:
    """The mean squared differences of means and of standard deviations, summed (Huang and Belongie 2017, equation 13).

    Args:
        found: from :func:`moments`, each ``(N, C)``
        target: of the same shape, or with one row for all

    Returns:
        ``(N,)``, at least 0.
    """
    mean, std = ((one - other).square().mean(1) for one, other in zip(found, target, strict=True))
    return mean + std


def color_moments(image: Tensor) -> Tensor:
    """The Gram matrix ``(N, 4, 4)`` of red, green, blue and 1, which contains the first and second moments of the colours.

    Args:
        image: ``(N, 3, H, W)``
    """
    return gram_matrix(F.pad(image, (0, 0, 0, 0, 0, 1), value=1.0))


class StructuralSimilarity:
    """The structural similarity of images (Wang et al. 2004), or that at several scales (Wang et al. 2003), by torchmetrics.

    Args:
        what: what needs it, for the message if torchmetrics is missing, such as ``The loss 'ssim'``
        scales: number of scales, each with half the sides of the previous one; None: one scale, without its weight

    Attributes:
        weights: exponents of the scales, which add up to 1

    Raises:
        StylekitError: there are no weights for so many scales, or torchmetrics is not installed.
    """

    WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)

    def __init__(self, what: str, scales: int | None = None) -> None:
        if scales is not None and not 1 <= scales <= len(self.WEIGHTS):
            raise StylekitError(f"The option 'scales' is {scales}, but must be from 1 to {len(self.WEIGHTS)}.")
        metrics = import_extra("torchmetrics.functional.image", "metrics", what)
        self.weights = tuple(weight / sum(self.WEIGHTS[:scales]) for weight in self.WEIGHTS[:scales])
        self._index, self._options = metrics.structural_similarity_index_measure, dict[str, Any]()
        if scales is not None:
            self._index = metrics.multiscale_structural_similarity_index_measure
            self._options = {"betas": self.weights, "normalize": "relu"}

    def __call__(self, output: Tensor, reference: Tensor) -> Tensor:
        """The similarities ``(N,)``, at most 1, of images ``(N, C, H, W)`` in [0, 1], with sides of at least 11 pixels."""
        found: Tensor = self._index(output, reference, data_range=1.0, reduction="none", **self._options)
        return found.reshape(len(output))


SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))
LUMA = (0.299, 0.587, 0.114)
"""The lightness of red, green and blue (ITU-R BT.601)."""


def edge_strength(image: Tensor) -> Tensor:
    """The norm of the gradient of the lightness at each pixel, by Sobel's filters.

    Args:
        image: ``(N, 3, H, W)``, or grey, ``(N, 1, H, W)``

    Returns:
        ``(N, 1, H, W)``, the slope per pixel; at borders, the outermost pixels are repeated.

    Raises:
        StylekitError: it has other channels.
    """
    if image.shape[1] not in (1, 3):
        raise StylekitError(f"Edges are those of the lightness, of 1 or 3 channels, and not of {image.shape[1]}.")
    sobel = image.new_tensor(SOBEL) / 8
    filters = torch.stack([sobel, sobel.T])[:, None]
    grey = (image * image.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    squares = F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), filters).square().sum(1, keepdim=True)
    return (squares + 1e-8).sqrt()  # the root has no gradient at 0


def total_variation(image: Tensor, power: float = 2.0) -> Tensor:
    """The mean of the absolute differences of vertical neighbours to a power, plus that of horizontal neighbours.

    Source: Mahendran and Vedaldi 2015. A power of 2 is their beta = 2, with means instead of sums. A power of 1 is the
    anisotropic form of Rudin et al. 1992.

    Args:
        image: ``(N, C, H, W)``; a side of one pixel has no neighbours and contributes nothing
        power: 2, which blurs edges, or 1, which preserves them

    Returns:
        ``(N,)``, at least 0.
    """
    variation = image.new_zeros(len(image))
    for dim in (2, 3):
        if image.shape[dim] > 1:
            variation = variation + image.diff(dim=dim).abs().pow(power).mean((1, 2, 3))
    return variation


def feature_matching(fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """The mean absolute difference of a discriminator's feature maps, averaged over maps (Wang et al. 2018, equation 4).

    Args:
        fake: feature maps of the generated images, each ``(N, ...)``, as ``features`` of a discriminator returns them
        real: feature maps of the real images, which receive no gradient

    Returns:
        ``(N,)``, at least 0.
    """
    pairs = zip(fake, real, strict=True)
    return torch.stack([(one - other.detach()).abs().flatten(1).mean(1) for one, other in pairs]).mean(0)


def patch_nce(query: Tensor, key: Tensor, temperature: float = 0.07) -> Tensor:
    """The cross-entropy of finding each query's own key among all keys of its image (Park et al. 2020, equation 3).

    Args:
        query: unit vectors ``(N, P, C)`` of patches of generated images
        key: those of the same patches of the content, which get no gradient
        temperature: divides the inner products

    Returns:
        A scalar, at least 0; ``log P`` if all keys are equal.
    """
    logits = (query @ key.detach().mT / temperature).flatten(0, 1)
    return F.cross_entropy(logits, torch.arange(query.shape[1], device=query.device).repeat(len(query)))


def mode_seeking(images: Tensor, others: Tensor, codes: Tensor, other_codes: Tensor) -> Tensor:
    """The distance of codes divided by that of the images drawn from them (Mao et al. 2019, equation 2, as a reciprocal).

    Args:
        images: images ``(N, C, H, W)``
        others: images drawn from the other codes
        codes: codes ``(N, D)``
        other_codes: other codes

    Returns:
        ``(N,)``; large where different codes give equal images, which is what a collapsed generator does.
    """
    apart = (codes - other_codes).abs().flatten(1).mean(1)
    return apart / ((images - others).abs().flatten(1).mean(1) + 1e-5)


class PathLength(nn.Module):
    """How far steps in the space of codes are from changing images evenly (Karras et al. 2020, section 3.2, equation 4).

    It is a loss of the generator, for any method that draws images from codes::

        self.path_length = PathLength()
        loss = 2 * self.path_length(self.generator(codes), codes).mean()

    Args:
        decay: share of a new mean length in the running average

    Attributes:
        average: the running average of lengths, to which those of new images should be equal; 0 at first
    """

    def __init__(self, decay: float = 0.01) -> None:
        super().__init__()
        self.decay, self.average = decay, nn.Buffer(torch.zeros(()))

    def forward(self, images: Tensor, codes: Tensor) -> Tensor:
        """The squared differences of the images' path lengths from the running average, which moves towards them.

        Args:
            images: images ``(N, C, H, W)``, drawn from the codes with a graph
            codes: codes ``(N, D)``, or ``(N, scales, D)``, one for each scale of an image; they require a gradient

        Returns:
            ``(N,)``, with a graph for the parameters of the generator.
        """
        lengths = self.lengths(images, codes)
        with torch.no_grad():
            self.average.lerp_(lengths.mean().to(self.average), self.decay)
        return (lengths - self.average).square()

    @staticmethod
    def lengths(images: Tensor, codes: Tensor) -> Tensor:
        """The norms ``(N,)`` of the gradients of random combinations of an image's pixels; of several scales, the root of
        the mean square."""
        noise = torch.randn_like(images) / math.sqrt(images.shape[-2] * images.shape[-1])
        (gradient,) = torch.autograd.grad((images * noise).sum(), codes, create_graph=True)
        return gradient.square().sum(-1).reshape(len(codes), -1).mean(1).sqrt()


def image_scores(scores: Tensor | Sequence[Tensor]) -> Tensor:
    """One score ``(N,)`` for each image: the mean over positions, then over scales.

    Args:
        scores: raw scores ``(N, ...)`` of a discriminator, or a list of them, one per scale
    """
    scales = [scores] if isinstance(scores, Tensor) else scores
    return torch.stack([scale.flatten(1).mean(1) if scale.ndim > 1 else scale for scale in scales]).mean(0)


@dataclass(frozen=True)
class ContentLoss:
    """Compares the content of images by their features.

    Args:
        layers: the layers to compare
        normalize: first normalise each channel of each image to mean 0 and std 1: the means and standard deviations of
            channels describe the style (Huang and Belongie 2017), so contrasts and colours may then change freely
        eps: added to the variances when normalising; variances of random filters are about 0.01, those of noise should be
            below ``eps``
    """

    layers: Layers = ()
    normalize: bool = False
    eps: float = 1e-3

    def target(self, features: Features) -> dict[str, Tensor]:
        """The target of the comparison: the features of the content image, normalised if ``normalize`` is set."""
        return {name: self._normalized(features[name]) for name in _weights(self.layers, features)}

    def __call__(self, features: Features, target: Features) -> Tensor:
        """Compares features ``{layer: (N, C, H, W)}`` with :meth:`target`: the weighted sum over layers, ``(N,)``."""
        weights = _weights(self.layers, features)
        return _total([w * feature_loss(self._normalized(features[name]), target[name]) for name, w in weights.items()])

    def _normalized(self, features: Tensor) -> Tensor:
        features = wide(features)  # a mean of squares in half precision would have three digits
        return instance_norm(features, eps=self.eps) if self.normalize else features


@dataclass(frozen=True)
class StyleLoss:
    """Compares the style of images by statistics of their features.

    Args:
        layers: the layers to compare
        statistic: ``gram``, the products of all pairs of channels (Gatys et al. 2016), or ``moments``, the mean and standard
            deviation of each channel (Huang and Belongie 2017)
        relative: see :func:`gram_loss`
        eps: added to the variances for ``moments``
        unbiased: see :func:`moments`

    Raises:
        StylekitError: the statistic is unknown.
    """

    layers: Layers = ()
    statistic: Literal["gram", "moments"] = "gram"
    relative: bool = True
    eps: float = 1e-5
    unbiased: bool = False

    def __post_init__(self) -> None:
        if self.statistic not in ("gram", "moments"):
            raise StylekitError(f"There is no statistic {self.statistic!r}. Use 'gram' or 'moments'.")

    def target(self, features: Features) -> dict[str, Tensor]:
        """The target of the comparison: the statistics of the style, one row per image. Averages of them are also styles.

        Gram matrices ``(N, C, C)`` by layer, or ``{layer}.mean`` and ``{layer}.std``, each ``(N, C)``.
        """
        statistics: dict[str, Tensor] = {}
        for name in _weights(self.layers, features):
            if self.statistic == "gram":
                statistics[name] = gram_matrix(features[name])
            else:
                statistics[f"{name}.mean"], statistics[f"{name}.std"] = moments(features[name], self.eps, self.unbiased)
        return statistics

    def __call__(self, features: Features, target: Features) -> Tensor:
        """Compares features ``{layer: (N, C, H, W)}`` with :meth:`target`: the weighted sum over layers, ``(N,)``."""
        weights = _weights(self.layers, features)
        return _total([weight * self._error(features[name], name, target) for name, weight in weights.items()])

    def _error(self, features: Tensor, name: str, target: Features) -> Tensor:
        if self.statistic == "gram":
            return gram_loss(gram_matrix(features), target[name], self.relative)
        expected = target[f"{name}.mean"], target[f"{name}.std"]
        return moment_loss(moments(features, self.eps, self.unbiased), expected)


def _weights(layers: Layers, features: Features) -> dict[str, float]:
    if isinstance(layers, Mapping) and layers:
        return dict(layers)
    names = list(layers or features)
    return dict.fromkeys(names, 1 / len(names))


def _total(losses: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(losses)).sum(0)
