"""Adversarial losses of discriminator and generator, computed from the scores of real and generated images.

Scores are raw: a tensor of any shape, or a list of tensors, one per scale. The loss is averaged over scales. All losses
are scalars.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import hookimpl
from stylekit.hookspecs import AdversarialLoss

Scores = Tensor | Sequence[Tensor]


def _mean(scores: Scores, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """The loss averaged over positions, then over scales."""
    if isinstance(scores, Tensor):
        return loss(scores).mean()
    return torch.stack([loss(scale).mean() for scale in scores]).mean()


class LSGAN(nn.Module):
    """Least squares with labels 1 and 0 (Mao et al. 2017, equation 9)."""

    relativistic = False

    def discriminator(self, real: Scores, fake: Scores) -> Tensor:
        return _mean(real, lambda s: (s - 1).square()) + _mean(fake, torch.square)

    def generator(self, fake: Scores, real: Scores | None = None) -> Tensor:
        return _mean(fake, lambda s: (s - 1).square())


class NonSaturating(nn.Module):
    """Logistic loss; the generator maximises log D(fake) (Goodfellow et al. 2014, section 3)."""

    relativistic = False

    def discriminator(self, real: Scores, fake: Scores) -> Tensor:
        return _mean(real, lambda s: F.softplus(-s)) + _mean(fake, F.softplus)

    def generator(self, fake: Scores, real: Scores | None = None) -> Tensor:
        return _mean(fake, lambda s: F.softplus(-s))


class Hinge(nn.Module):
    """Hinge loss with margins at 1 and -1 (Lim and Ye 2017; Miyato et al. 2018, equations 16 and 17)."""

    relativistic = False

    def discriminator(self, real: Scores, fake: Scores) -> Tensor:
        return _mean(real, lambda s: F.relu(1 - s)) + _mean(fake, lambda s: F.relu(1 + s))

    def generator(self, fake: Scores, real: Scores | None = None) -> Tensor:
        return _mean(fake, torch.neg)


@hookimpl
def stylekit_adversarial_losses() -> dict[str, Callable[..., AdversarialLoss]]:
    return {"lsgan": LSGAN, "nonsaturating": NonSaturating, "hinge": Hinge}
