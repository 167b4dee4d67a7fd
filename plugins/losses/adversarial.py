"""Adversarial losses of discriminator and generator, computed from the scores of real and generated images.

Scores are raw: a tensor of any shape, or a list of tensors, one per scale. The loss is averaged over scales. All losses
are scalars.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import StylekitError, hookimpl
from stylekit.hookspecs import AdversarialLoss
from stylekit.losses import image_scores

Scores = Tensor | Sequence[Tensor]


def _mean(scores: Scores, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """The loss averaged over positions, then over scales."""
    if isinstance(scores, Tensor):
        return loss(scores).mean()
    return torch.stack([loss(scale).mean() for scale in scores]).mean()


class Minimax(nn.Module):
    """The original game: the generator minimises log(1 - D(fake)), whose gradient vanishes while the discriminator wins.

    Source: Goodfellow et al. 2014, equation 1.
    """

    relativistic = False

    def discriminator(self, real: Scores, fake: Scores) -> Tensor:
        return _mean(real, lambda s: F.softplus(-s)) + _mean(fake, F.softplus)

    def generator(self, fake: Scores, real: Scores | None = None) -> Tensor:
        return _mean(fake, lambda s: -F.softplus(s))


class LSGAN(nn.Module):
    """Least squares with labels 1 and 0 (Mao et al. 2017, equation 9)."""

    relativistic = False

    def discriminator(self, real: Scores, fake: Scores) -> Tensor:
        return _mean(real, lambda s: (s - 1).square()) + _mean(fake, torch.square)

    def generator(self, fake: Scores, real: Scores | None = None) -> Tensor:
        return _mean(fake, lambda s: (s - 1).square())


class NonSaturating(nn.Module):
    """Logistic loss; the generator maximises log D(fake) (Goodfellow et al. 2014, section 3).

    Args:
        smoothing: by how much the discriminator's label of real images is below 1 (Salimans et al. 2016, section 3.4)

    Raises:
        StylekitError: ``smoothing`` is not in [0, 1).
    """

    relativistic = False

    def __init__(self, smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise StylekitError(f"The option 'smoothing' is {smoothing}, but must be at least 0 and below 1.")
        self.smoothing = smoothing

    def discriminator(self, real: Scores, fake: Scores) -> Tensor:
        # The cross-entropy with the label 1 - smoothing: softplus(s) = softplus(-s) + s.
        on_real = _mean(real, lambda s: F.softplus(-s) + self.smoothing * s)
        return on_real + _mean(fake, F.softplus)

    def generator(self, fake: Scores, real: Scores | None = None) -> Tensor:
        return _mean(fake, lambda s: F.softplus(-s))


class Hinge(nn.Module):
    """Hinge loss with margins at 1 and -1 (Lim and Ye 2017; Miyato et al. 2018, equations 16 and 17)."""

    relativistic = False

    def discriminator(self, real: Scores, fake: Scores) -> Tensor:
        return _mean(real, lambda s: F.relu(1 - s)) + _mean(fake, lambda s: F.relu(1 + s))

    def generator(self, fake: Scores, real: Scores | None = None) -> Tensor:
        return _mean(fake, torch.neg)


class Wasserstein(nn.Module):
    """The difference of mean scores, for critics that a gradient penalty or a spectral norm keeps from growing without limit.

    Source: Arjovsky et al. 2017, algorithm 1.
    """

    relativistic = False

    def discriminator(self, real: Scores, fake: Scores) -> Tensor:
        return _mean(fake, torch.clone) - _mean(real, torch.clone)

    def generator(self, fake: Scores, real: Scores | None = None) -> Tensor:
        return _mean(fake, torch.neg)


class Relativistic(nn.Module):
    """Logistic loss of the difference between the scores of a real image and a generated one, paired by their order.

    Scores of several positions or scales are averaged first, because unrelated images have no common positions. It converges
    with ``r1`` and ``r2``, and may diverge without (Huang et al. 2024, "The GAN is dead; long live the GAN", equation 2;
    Jolicoeur-Martineau 2019).
    """

    relativistic = True

    def discriminator(self, real: Scores, fake: Scores) -> Tensor:
        return F.softplus(image_scores(fake) - image_scores(real)).mean()

    def generator(self, fake: Scores, real: Scores | None = None) -> Tensor:
        if real is None:
            raise StylekitError("The adversarial loss 'relativistic' needs the scores of real images, too.")
        return F.softplus(image_scores(real) - image_scores(fake)).mean()


@hookimpl
def stylekit_adversarial_losses() -> dict[str, Callable[..., AdversarialLoss]]:
    return {
        "minimax": Minimax,
        "lsgan": LSGAN,
        "nonsaturating": NonSaturating,
        "hinge": Hinge,
        "wasserstein": Wasserstein,
        "relativistic": Relativistic,
    }
