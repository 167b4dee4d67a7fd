"""Noise of sensors: normal noise of one strength, and that of counted photons, which grows with the brightness."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from stylekit import hookimpl
from stylekit.hookspecs import Degradation
from stylekit.images import Range, drawn, require_range

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luma of ITU-R BT.601."""


class GaussianNoise(nn.Module):
    """Adds independent normal noise to every value, and clips the result to [0, 1].

    Args:
        sigma: standard deviation, in levels of 255, or a range of it
        grey: share of images whose channels all get the same noise

    Raises:
        StylekitError: ``sigma`` is negative, or ``grey`` is not from 0 to 1.
    """

    def __init__(self, sigma: Range = 25.0, grey: float = 0.0) -> None:
        super().__init__()
        require_range("degradation 'gaussian-noise'", sigma=sigma)
        require_range("degradation 'gaussian-noise'", 0, 1, grey=grey)
        self.sigma, self.grey = sigma, grey

    def forward(self, image: Tensor) -> Tensor:
        """Adds noise to images ``(N, 3, H, W)`` in [0, 1]."""
        noise = torch.randn_like(image)
        noise = torch.where(chosen(self.grey, image), noise[:, :1], noise)
        return (image + drawn(self.sigma, image) / 255 * noise).clamp(0, 1)


class PoissonNoise(nn.Module):
    """Counts photons: a value v becomes a Poisson number of mean ``v * photons``, divided by ``photons``.

    Its variance is ``v / photons``, where ``photons = 255 / strength^2``.

    Args:
        strength: strength of the noise, or a range of it; at 1, white is 255 photons
        grey: share of images whose channels all get the noise of the luma

    Raises:
        StylekitError: ``strength`` is not above 0, or ``grey`` is not from 0 to 1.
    """

    channels = (1, 3)

    def __init__(self, strength: Range = (0.05, 3.0), grey: float = 0.0) -> None:
        super().__init__()
        require_range("degradation 'poisson-noise'", 1e-3, strength=strength)
        require_range("degradation 'poisson-noise'", 0, 1, grey=grey)
        self.strength, self.grey = strength, grey

    def forward(self, image: Tensor) -> Tensor:
        """Adds noise to images ``(N, 3, H, W)`` in [0, 1]."""
        photons = 255 / drawn(self.strength, image) ** 2
        luma = torch.einsum("nchw,c->nhw", image, image.new_tensor(LUMA))[:, None]

        def noise(light: Tensor) -> Tensor:
            return torch.poisson(light * photons) / photons - light

        return (image + torch.where(chosen(self.grey, image), noise(luma), noise(image))).clamp(0, 1)


def chosen(share: float, image: Tensor) -> Tensor:
    """Which images ``(N, 1, 1, 1)`` belong to a share."""
    return torch.rand(len(image), 1, 1, 1, device=image.device) < share


@hookimpl
def stylekit_degradations() -> dict[str, Callable[..., Degradation]]:
    return {"gaussian-noise": GaussianNoise, "poisson-noise": PoissonNoise}
