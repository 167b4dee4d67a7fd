"""An adversarial loss for stylekit: scores are compared with the average of the other side (Jolicoeur-Martineau 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import hookimpl

STYLEKIT_API = 1

Scores = Tensor | Sequence[Tensor]


class MyStyle(nn.Module):
    """Relativistic average logistic loss: real images should score higher than the average fake image, and vice versa.

    Args:
        scale: factor on the score differences
    """

    relativistic = True

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def discriminator(self, real: Scores, fake: Scores) -> Tensor:
        """Falls as real scores rise above fake ones."""
        return self.compare(real, fake) + self.compare(fake, real, -1)

    def generator(self, fake: Scores, real: Scores | None = None) -> Tensor:
        """Falls as fake scores rise above real ones."""
        assert real is not None, "a relativistic loss needs the scores of real images"
        return self.compare(fake, real) + self.compare(real, fake, -1)

    def compare(self, scores: Scores, others: Scores, sign: int = 1) -> Tensor:
        """The mean logistic loss, over all scales, of scores being above (with ``sign=-1``: below) the mean of ``others``."""
        if isinstance(scores, Tensor) and isinstance(others, Tensor):
            return F.softplus(-sign * self.scale * (scores - others.mean())).mean()
        return torch.stack([self.compare(*pair, sign) for pair in zip(scores, others, strict=True)]).mean()


@hookimpl
def stylekit_adversarial_losses() -> dict[str, type[MyStyle]]:
    return {"my-style": MyStyle}
