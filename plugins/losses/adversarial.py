"""Adversarial losses: what a discriminator's scores for real and generated images are worth, and to whom.

Each loss is a module with three verbs on raw scores (a tensor of any shape, or a list of them for several scales, which
are averaged): ``real`` and ``fake`` are the discriminator's, ``fool`` is the generator's. All return a scalar.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import hookimpl

Scores = Tensor | Sequence[Tensor]


def _mean(scores: Scores, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """The loss averaged over positions, then over scales."""
    if isinstance(scores, Tensor):
        return loss(scores).mean()
    return torch.stack([loss(scale).mean() for scale in scores]).mean()


class LSGAN(nn.Module):
    """Least squares with labels 1 and 0 (Mao et al. 2017, equation 9)."""

    def real(self, scores: Scores) -> Tensor:
        return _mean(scores, lambda s: (s - 1).square())

    def fake(self, scores: Scores) -> Tensor:
        return _mean(scores, torch.square)

    def fool(self, scores: Scores) -> Tensor:
        return self.real(scores)


class NonSaturating(nn.Module):
    """Logistic loss; the generator maximises log D(fake) (Goodfellow et al. 2014, section 3)."""

    def real(self, scores: Scores) -> Tensor:
        return _mean(scores, lambda s: F.softplus(-s))

    def fake(self, scores: Scores) -> Tensor:
        return _mean(scores, F.softplus)

    def fool(self, scores: Scores) -> Tensor:
        return self.real(scores)


class Hinge(nn.Module):
    """Hinge loss with margins at 1 and -1 (Lim and Ye 2017; Miyato et al. 2018, equations 16 and 17)."""

    def real(self, scores: Scores) -> Tensor:
        return _mean(scores, lambda s: F.relu(1 - s))

    def fake(self, scores: Scores) -> Tensor:
        return _mean(scores, lambda s: F.relu(1 + s))

    def fool(self, scores: Scores) -> Tensor:
        return _mean(scores, torch.neg)


@hookimpl
def stylekit_losses() -> dict[str, Callable[..., nn.Module]]:
    return {"lsgan": LSGAN, "nonsaturating": NonSaturating, "hinge": Hinge}
