"""A U-Net that scores every pixel (Schönfeld et al. 2020; with spectral norm, as in Wang et al. 2021, "Real-ESRGAN")."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from stylekit import hookimpl
from stylekit.images import pad_to
from stylekit.layers import Halvings, Width, require_options, with_condition


class UNetDiscriminator(nn.Module):
    """An encoder and a decoder with skip connections: each pixel's score depends on its detail and on the whole image.

    Args:
        downs: number of halvings
        width: channels of the first layer
        channels: channels of the images, including those of a condition
    """

    def __init__(self, downs: Halvings = 3, width: Width = 64, channels: Width = 3) -> None:
        super().__init__()
        self.sample_independent = True
        require_options(downs=downs, width=width, channels=channels)
        self.stride = self.min_size = 2**downs
        widths = [width * min(2**step, 8) for step in range(downs + 1)]

        def conv(before: int, after: int, side: int = 3, stride: int = 1) -> nn.Module:
            made: nn.Module = spectral_norm(nn.Conv2d(before, after, side, stride, padding=1, bias=False))
            return made

        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.downs = nn.ModuleList(conv(before, after, 4, 2) for before, after in pairwise(widths))
        self.ups = nn.ModuleList(conv(before, after) for after, before in reversed(list(pairwise(widths))))
        self.mix = conv(width, width)
        self.score = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Tensor:
        """Returns raw scores ``(N, 1, H, W)`` of images ``(N, C, H, W)`` in [0, 1]; a condition is an image whose channels are
        appended."""
        height, width = image.shape[2:]
        x = F.leaky_relu(self.first(pad_to(with_condition(image, condition), self.stride) * 2 - 1), 0.2)
        skips = [x]
        for down in self.downs:
            skips.append(F.leaky_relu(down(skips[-1]), 0.2))
        x = skips.pop()
        for up in self.ups:
            x = F.leaky_relu(up(F.interpolate(x, scale_factor=2.0, mode="bilinear")), 0.2) + skips.pop()
        scores: Tensor = self.score(F.leaky_relu(self.mix(x), 0.2))
        return scores[..., :height, :width]


@hookimpl
def stylekit_discriminators() -> dict[str, Callable[..., nn.Module]]:
    return {"unet": UNetDiscriminator}
