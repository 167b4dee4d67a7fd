"""Fixed random filters at several scales: an encoder that nobody trained, and that needs no weights.

Random filters tell textures apart about as well as trained ones, if they come in several sizes (Ustyuzhaninov et al.
2016, "Texture synthesis using shallow convolutional networks with random filters"; He et al. 2016, "A powerful generative
model using random weights for the deep image representation").
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import StylekitError, hookimpl
from stylekit.images import pad_to
from stylekit.layers import require_options

__all__ = ["RandomFilters"]

COLOURED = 8
"""One filter in so many also sees the mean of what is below it; the others see contrasts only."""


class RandomFilters(nn.Module):
    """One layer of random filters and a ReLU, on the picture and on smaller and smaller copies of it.

    Args:
        width: filters a scale
        side: side of the filters, in pixels of their scale; odd, from 3 on
        scales: how many: the picture itself, halved, halved again, ...
        seed: another seed, other filters

    Raises:
        StylekitError: an option is below 1, or ``side`` is even or below 3.
    """

    sample_independent = True
    filters: Tensor
    bias: Tensor

    def __init__(self, width: int = 64, side: int = 7, scales: int = 5, seed: int = 0) -> None:
        super().__init__()
        require_options(width=width, scales=scales)
        if side < 3 or side % 2 == 0:  # a single pixel has no contrast
            raise StylekitError(f"The option 'side' of the encoder 'random' is {side}, and must be odd and at least 3.")
        self.scales, self.margin = scales, side // 2
        generator = torch.Generator().manual_seed(seed)
        # Fading towards their rims, so that they answer to what is in the middle, and are no noise of high frequency.
        window = torch.hann_window(side + 2, periodic=False)[1:-1]
        filters = torch.randn(width, 3, side, side, generator=generator) * window[:, None] * window
        contrasts = torch.arange(width) % COLOURED != 0
        filters[contrasts] -= filters[contrasts].mean((2, 3), keepdim=True)
        self.register_buffer("filters", filters / filters.flatten(1).norm(dim=1)[:, None, None, None])
        self.register_buffer("bias", 0.1 * torch.randn(width, generator=generator))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """The responses to ``(N, 3, H, W)`` in [0, 1] by scale: ``scale1`` is ``(N, width, H, W)``, ``scale2`` half of it."""
        found = {}
        smaller = image - 0.5
        for scale in range(1, self.scales + 1):
            if scale > 1:
                smaller = F.avg_pool2d(pad_to(smaller, 2), 2)
            padded = F.pad(smaller, [self.margin] * 4, mode="replicate")
            found[f"scale{scale}"] = F.relu(F.conv2d(padded, self.filters, self.bias))
        return found


@hookimpl
def stylekit_encoders() -> dict[str, Callable[..., nn.Module]]:
    return {"random": RandomFilters}
