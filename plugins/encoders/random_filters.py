"""Fixed random filters at several scales: an encoder that needs neither training nor weights.

Random filters of several sizes distinguish textures about as well as trained filters (Ustyuzhaninov et al. 2016, "Texture
synthesis using shallow convolutional networks with random filters"; He et al. 2016, "A powerful generative model using
random weights for the deep image representation").
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import StylekitError, hookimpl
from stylekit.images import pad_to
from stylekit.layers import Count, Halvings, Width, require_options

__all__ = ["RandomFilters"]

COLOURED = 8
"""One in this many filters also responds to the mean colour; the others have mean 0 and respond only to contrasts."""


class RandomFilters(nn.Module):
    """One layer of random filters and a ReLU, applied to the image at several scales.

    Args:
        width: number of filters
        side: side of the filters in pixels; odd, from 3 to 63
        scales: number of scales; each halves the image of the previous one, starting from full size
        seed: random seed of the filters

    Raises:
        StylekitError: ``width`` or ``scales`` is below 1, or ``side`` is even, below 3 or above 63.
    """

    sample_independent = True
    channels = (3,)
    filters: Tensor
    bias: Tensor

    def __init__(self, width: Width = 64, side: Count = 7, scales: Halvings = 5, seed: int = 0) -> None:
        super().__init__()
        require_options(width=width, scales=scales)
        if not 3 <= side <= 63 or side % 2 == 0:  # a single pixel has no contrast
            raise StylekitError(f"The option 'side' of the encoder 'random' is {side}, but must be odd, from 3 to 63.")
        self.scales, self.margin = scales, side // 2
        generator = torch.Generator().manual_seed(seed)
        # The window reduces high frequencies, and gives the centre of a filter more weight than its border.
        window = torch.hann_window(side + 2, periodic=False)[1:-1]
        filters = torch.randn(width, 3, side, side, generator=generator) * window[:, None] * window
        contrasts = torch.arange(width) % COLOURED != 0
        filters[contrasts] -= filters[contrasts].mean((2, 3), keepdim=True)
        self.register_buffer("filters", filters / filters.flatten(1).norm(dim=1)[:, None, None, None])
        self.register_buffer("bias", 0.1 * torch.randn(width, generator=generator))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Responses to images ``(N, 3, H, W)`` in [0, 1]: ``scale1`` is ``(N, width, H, W)``, ``scale2`` half that size, ..."""
        responses = {}
        smaller = image - 0.5
        for scale in range(1, self.scales + 1):
            if scale > 1:
                smaller = F.avg_pool2d(pad_to(smaller, 2), 2)
            padded = F.pad(smaller, [self.margin] * 4, mode="replicate")
            responses[f"scale{scale}"] = F.relu(F.conv2d(padded, self.filters, self.bias))
        return responses


@hookimpl
def stylekit_encoders() -> dict[str, Callable[..., nn.Module]]:
    return {"random": RandomFilters}
