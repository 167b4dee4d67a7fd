"""Penalties on the discriminator's gradient with respect to the image. Squares are summed over pixels, as in all the papers.

The gradient is that of an image's score: the mean over positions and scales, if there are several. Images are in [0, 1]. In
most papers they are in [-1, 1], where gradients are half as large: their ``gamma`` or zero-centred weight is here a quarter of
it, and a norm of 1 is here a norm of 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from stylekit import hookimpl
from stylekit.hookspecs import Regularizer
from stylekit.layers import require_options
from stylekit.losses import image_scores

Discriminator = Callable[[Tensor], Tensor | list[Tensor]]


def squared_gradient(discriminator: Discriminator, image: Tensor) -> Tensor:
    """The squared norm ``(N,)`` of the gradient of each image's score."""
    with torch.enable_grad():
        image = image.detach().requires_grad_()
        total = image_scores(discriminator(image)).sum()
        (gradient,) = torch.autograd.grad(total, image, create_graph=True)
    return gradient.flatten(1).square().sum(1)


class R1(nn.Module):
    """The squared gradient at real images (Mescheder et al. 2018, equation 9).

    Args:
        gamma: weight; the loss has half of it
        interval: the penalty is added at every n-th update, n times as large (Karras et al. 2020, appendix B)
        final: weight at the end of the training, where it arrives along half a cosine (Huang et al. 2024); by default
            ``gamma``
    """

    progress: float = 0.0

    def __init__(self, gamma: float = 1.0, interval: int = 1, final: float | None = None) -> None:
        super().__init__()
        require_options(interval=interval)
        self.gamma, self.interval, self.final = gamma, interval, gamma if final is None else final

    @property
    def weight(self) -> float:
        """The weight at this time of the training."""
        return self.final + (self.gamma - self.final) * (1 + math.cos(math.pi * self.progress)) / 2

    def forward(self, discriminator: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
        """The penalty, a scalar, at images ``(N, C, H, W)``."""
        return self.weight / 2 * squared_gradient(discriminator, real).mean()


class R2(R1):
    """The squared gradient at generated images (Mescheder et al. 2018, equation 10).

    Args:
        gamma: weight; the loss has half of it
        interval: the penalty is added at every n-th update, n times as large
        final: weight at the end of the training; by default ``gamma``
    """

    def forward(self, discriminator: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
        """The penalty, a scalar, at images ``(N, C, H, W)``."""
        return self.weight / 2 * squared_gradient(discriminator, fake).mean()


class GradientPenalty(nn.Module):
    """The gradient's norm should be 1 at random points between real and generated images (Gulrajani et al. 2017, equation 3).

    Args:
        weight: weight
        center: the wanted norm; 0 for the zero-centred penalty (Thanh-Tung et al. 2019)
        one_sided: penalise larger norms only (Petzka et al. 2018)
        interval: the penalty is added at every n-th update, n times as large
    """

    def __init__(self, weight: float = 10.0, center: float = 1.0, one_sided: bool = False, interval: int = 1) -> None:
        super().__init__()
        require_options(interval=interval)
        self.weight, self.center, self.one_sided, self.interval = weight, center, one_sided, interval

    def forward(self, discriminator: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
        """The penalty, a scalar, between images ``(N, C, H, W)``, whose numbers must be equal."""
        share = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device, dtype=real.dtype)
        squared = squared_gradient(discriminator, torch.lerp(real, fake, share))
        if not self.center:
            return self.weight * squared.mean()
        excess = (squared + 1e-12).sqrt() - self.center  # the root has no gradient at 0
        return self.weight * (excess.clamp(min=0) if self.one_sided else excess).square().mean()


@hookimpl
def stylekit_regularizers() -> dict[str, Callable[..., Regularizer]]:
    return {"r1": R1, "r2": R2, "gradient-penalty": GradientPenalty}
