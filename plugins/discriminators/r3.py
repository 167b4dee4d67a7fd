"""The discriminator of R3GAN (Huang et al. 2024): residual blocks without any normalisation.

It is made for the loss ``relativistic`` with the penalties ``r1`` and ``r2`` at every step.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import hookimpl
from stylekit.layers import Halvings, PlainResidual, ProjectedScore, Width, require_options


class R3(nn.Module):
    """Residual blocks of grouped convolutions at every scale, each followed by a mean over 2 x 2 pixels.

    Args:
        layers: number of halvings
        width: channels of the first layer; each further one has twice as many, up to eight times
        channels: channels of the images
        classes: number of classes, for a condition of labels (Miyato and Koyama 2018); 0: without a condition

    Raises:
        StylekitError: an option is too small, or ``forward`` gets a condition without classes, or none with classes.
    """

    def __init__(self, layers: Halvings = 4, width: Width = 64, channels: Width = 3, classes: int = 0) -> None:
        super().__init__()
        require_options(layers=layers, width=width, channels=channels)
        self.sample_independent, self.min_size, self.classes = True, 2**layers, classes
        widths = [width * min(2**step, 8) for step in range(layers + 1)]
        self.first = nn.Conv2d(channels, width, 1)
        self.blocks = nn.ModuleList(PlainResidual(each, depth=layers) for each in widths[:-1])
        self.wider = nn.ModuleList(nn.Conv2d(before, after, 1, bias=False) for before, after in pairwise(widths))
        self.last = PlainResidual(widths[-1], depth=layers)
        self.score = ProjectedScore(widths[-1], classes)

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Tensor:
        """Returns raw scores ``(N, 1)`` of images ``(N, C, H, W)`` in [0, 1]; a condition is labels ``(N,)``."""
        x = self.first(image * 2 - 1)
        for block, wider in zip(self.blocks, self.wider, strict=True):
            x = wider(F.avg_pool2d(block(x), 2))
        scores: Tensor = self.score(F.leaky_relu(self.last(x), 0.2).mean((2, 3)), condition)
        return scores


@hookimpl
def stylekit_discriminators() -> dict[str, Callable[..., nn.Module]]:
    return {"r3": R3}
