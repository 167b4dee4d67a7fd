"""Consistency: an image and its augmentation should have the same score (Zhang et al. 2020, "Consistency regularization")."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from stylekit import Part, hookimpl, make
from stylekit.hookspecs import Regularizer
from stylekit.layers import require_options
from stylekit.losses import image_scores


class Consistency(nn.Module):
    """The squared difference of the scores of images and of their augmentations.

    Args:
        weight: weight
        augmentation: the augmentation
        both: also for generated images (Zhao et al. 2021, "balanced" consistency)
        interval: the penalty is added at every n-th update, n times as large
    """

    def __init__(
        self, weight: float = 10.0, augmentation: Part = "diffaugment", both: bool = False, interval: int = 1
    ) -> None:
        super().__init__()
        require_options(interval=interval)
        self.augmentation = make("augmentation", augmentation)
        self.weight, self.both, self.interval = weight, both, interval

    def forward(self, discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
        """The penalty, a scalar, at images ``(N, C, H, W)``."""
        total = self._difference(discriminator, real)
        return self.weight * (total + self._difference(discriminator, fake.detach()) if self.both else total)

    def _difference(self, discriminator: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
        scores = image_scores(discriminator(image)), image_scores(discriminator(self.augmentation(image)))
        return (scores[0] - scores[1]).square().mean()


@hookimpl
def stylekit_regularizers() -> dict[str, Callable[..., Regularizer]]:
    return {"consistency": Consistency}
