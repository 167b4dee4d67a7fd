"""Colours as a distribution over bins of a and b of CIELAB (Zhang et al. 2016, "Colorful image colorization")."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import StylekitError
from stylekit.images.color import to_lab

STEP = 10
"""Distance of the bins in a and b, as in the paper."""
NEAREST, SPREAD = 5, 5.0
"""A true colour counts for so many bins, by a normal distribution of this standard deviation in a and b (section 2.2)."""
TEMPERATURE = 0.7
"""Of the annealed mean: 1 is the mean colour, 0 the most probable one (section 2.3). The paper has 0.38, for a large network;
the colours of a small one, which is less certain, would be blotches."""
TAKEN_BACK = 0.5
"""Exponent by which the weights of rare colours are taken back where the most typical colours are chosen: 0 is garish, and 1 is
the distribution of true colours, whose mean is brownish."""
LEAST = 0.002
"""Share of a batch in the running average of how frequent colours are, after 500 batches."""
FLAT = 25.0
"""Variance of the lightness below which a neighbourhood counts as flat."""


def color_bins() -> Tensor:
    """The centres ``(Q, 2)`` of all bins of a and b that sRGB contains: 259. The paper counts 313, some of them outside."""
    values = torch.linspace(0, 1, 33, dtype=torch.float64, device="cpu")
    red, green, blue = torch.meshgrid(values, values, values, indexing="ij")
    lab = to_lab(torch.stack([red.flatten(), green.flatten(), blue.flatten()])[None, ..., None])
    bins: Tensor = torch.unique((lab[0, 1:, :, 0].mT / STEP).round(), dim=0)
    return bins.float() * STEP


def soft_bins(ab: Tensor, bins: Tensor) -> Tensor:
    """Which bins colours belong to: to the nearest five, weighted by a normal distribution of their distances.

    Args:
        ab: colours ``(N, 2)``
        bins: centres ``(Q, 2)``

    Returns:
        Weights ``(N, Q)`` with the sum 1.
    """
    distances, nearest = torch.cdist(ab, bins, compute_mode="donot_use_mm_for_euclid_dist").topk(NEAREST, 1, False)
    weights = (-distances.square() / (2 * SPREAD**2)).softmax(1)
    return torch.zeros(len(ab), len(bins), dtype=ab.dtype, device=ab.device).scatter_(1, nearest, weights)


def rarity(frequencies: Tensor, bins: Tensor, share: float) -> Tensor:
    """The weight of each bin: the reciprocal of its frequency, which is smoothed and mixed with a uniform distribution.

    The mean weight of a pixel is 1 (equation 4 of the paper).

    Args:
        frequencies: of the bins ``(Q,)``, with the sum 1
        bins: centres ``(Q, 2)``
        share: share of the uniform distribution; 1: all weights are 1
    """
    kernel = (-torch.cdist(bins, bins).square() / (2 * SPREAD**2)).exp().to(frequencies)
    smoothed = (kernel / kernel.sum(0)) @ frequencies
    weights = 1 / ((1 - share) * smoothed + share / len(bins))
    return weights / (smoothed * weights).sum()


class Palette(nn.Module):
    """The bins, and how frequent they have been in training.

    Args:
        rebalance: share of a uniform distribution, see :func:`rarity`

    Raises:
        StylekitError: ``rebalance`` is not above 0 and at most 1.
    """

    bins: Tensor
    frequencies: Tensor
    updates: Tensor

    def __init__(self, rebalance: float) -> None:
        super().__init__()
        if not 0 < rebalance <= 1:
            raise StylekitError(f"The option 'rebalance' is {rebalance}, but must be above 0 and at most 1.")
        bins = color_bins()
        self.rebalance = rebalance
        self.register_buffer("bins", bins, persistent=False)
        self.register_buffer("frequencies", torch.full((len(bins),), 1 / len(bins)))
        self.register_buffer("updates", torch.zeros(()))

    def weights(self) -> Tensor:
        """How much each bin counts ``(Q,)``, by what was frequent until now."""
        return rarity(self.frequencies, self.bins, self.rebalance)

    def loss(self, scores: Tensor, ab: Tensor) -> Tensor:
        """The cross-entropy with true colours, in which rare colours count more (equation 2 of the paper).

        Args:
            scores: of the bins ``(N, Q, h, w)``
            ab: the true colours ``(N, 2, H, W)``, of sides that are a multiple of these
        """
        with torch.no_grad():
            true = F.avg_pool2d(ab, ab.shape[3] // scores.shape[3]).permute(0, 2, 3, 1).flatten(0, 2)
            wanted = soft_bins(true, self.bins.to(true))
            self.updates += 1
            self.frequencies.lerp_(wanted.mean(0).to(self.frequencies), torch.clamp(1 / self.updates, min=LEAST))
            weights = self.weights()[wanted.argmax(1)]
        lines = scores.permute(0, 2, 3, 1).flatten(0, 2)
        return (weights * F.cross_entropy(lines, wanted, reduction="none")).mean()

    def evidence(self, hints: Tensor, size: Sequence[int]) -> Tensor:
        """What hints say about the scores: the logarithm of a normal distribution around their colour, 0 where there is none.

        Args:
            hints: a, b and 1 where there is a hint, otherwise 0 ``(N, 3, H, W)``
            size: sides of the scores

        Returns:
            What is added to the scores ``(N, Q, *size)``.
        """
        ab, there = averaged(hints, size).split((2, 1), 1)
        distance = (ab[:, None] - self.bins.to(ab)[None, :, :, None, None]).square().sum(2)
        added: Tensor = -there * distance / (2 * SPREAD**2)
        return added

    def choose(self, scores: Tensor, sample: int = 0) -> Tensor:
        """Colours ``(N, 2, h, w)``: the annealed mean of the bins, or for a sample other than 0, that of a random draw.

        A draw is made from the distribution of true colours: without the weights, which made rare ones more probable. The
        largest of scores with Gumbel noise is such a draw; the temperature softens it. All pixels share one noise, so that
        those which are alike get the same colour.
        """
        change = -self.weights().log().to(scores) * (1 if sample else TAKEN_BACK)
        if sample:
            uniform = torch.rand(len(self.bins), generator=torch.Generator().manual_seed(sample))
            change = change - uniform.log().neg().log().to(scores)
        scores = scores + change[:, None, None]
        shares = (scores / TEMPERATURE).softmax(1)
        return torch.einsum("nqhw,qc->nchw", shares, self.bins.to(shares))


def averaged(hints: Tensor, size: Sequence[int]) -> Tensor:
    """The mean colours of hints within each pixel of a smaller picture.

    Args:
        hints: a, b and 1 where there is a hint, otherwise 0 ``(N, 3, H, W)``
        size: height and width of the smaller picture

    Returns:
        The same for the smaller picture ``(N, 3, *size)``. A hint may be smaller than its pixels.
    """
    mean = F.adaptive_avg_pool2d(hints, (size[0], size[1]))
    covered = mean[:, 2:]
    return torch.cat([mean[:, :2] / covered.clamp(min=1e-12), (covered > 0).to(mean)], 1)


def enlarged(ab: Tensor, small: Tensor, light: Tensor) -> Tensor:
    """Enlarges colours, so that they change where the lightness does (He and Sun 2015, "Fast guided filter").

    Around each pixel of the smaller picture, colours are a linear function of the lightness; its coefficients are enlarged.

    Args:
        ab: colours ``(N, 2, h, w)``
        small: lightness ``(N, 1, about 4 h, about 4 w)``
        light: lightness ``(N, 1, H, W)`` in [0, 100]

    Returns:
        Colours ``(N, 2, H, W)``.
    """
    guide = F.adaptive_avg_pool2d(small, (ab.shape[2], ab.shape[3]))
    mean_guide, mean_ab = neighbourhood(guide), neighbourhood(ab)
    covariance = neighbourhood(guide * ab) - mean_guide * mean_ab
    slope = covariance / (neighbourhood(guide.square()) - mean_guide.square() + FLAT)
    lines = neighbourhood(torch.cat([slope, mean_ab - slope * mean_guide], 1))
    slope, offset = F.interpolate(lines, light.shape[2:], mode="bilinear").chunk(2, 1)
    return slope * light + offset


def neighbourhood(x: Tensor) -> Tensor:
    """The mean of 3 x 3 pixels around each."""
    return F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
