"""The degradations of Real-ESRGAN (Wang et al. 2021, section 3), for pictures of which nobody knows what happened to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import StylekitError, hookimpl, make
from stylekit.hookspecs import Degradation

SINC = 0.1
"""Share of blurs that are sinc filters."""
KERNELS = {"isotropic": 0.45, "anisotropic": 0.25, "generalized": 0.15, "plateau": 0.15}
"""Shares of the other blurs; where the paper's code has round and other kernels of a kind, both are one here."""
ROUNDS: tuple[dict[str, Any], ...] = (
    {
        "blurred": 1.0,
        "sigma": (0.2, 3.0),
        "resize": (0.2, 0.7),
        "range": (0.15, 1.5),
        "noise": (1, 30),
        "photons": (0.05, 3),
    },
    {
        "blurred": 0.8,
        "sigma": (0.2, 1.5),
        "resize": (0.3, 0.4),
        "range": (0.3, 1.2),
        "noise": (1, 25),
        "photons": (0.05, 2.5),
    },
)
"""The settings of both rounds: share of blurred images and their standard deviations, shares of enlarged and of reduced images
and the range of their sides, and the ranges of both kinds of noise."""
GREY, QUALITY, LAST = 0.4, (30, 95), 0.8
"""Share of noise without colours, qualities of JPEG, and share of images with a last sinc filter."""
MODES = ("area", "bilinear", "bicubic")


class Mixed(nn.Module):
    """Blur, resizing, noise and JPEG, twice, with the settings of the paper's code; then the picture gets its final size.

    Each image is degraded by itself. The last resizing and a sinc filter come before or after the second JPEG.

    Args:
        scale: by how much the sides are divided

    Raises:
        StylekitError: ``scale`` is not from 1 to 16.
    """

    channels = (3,)

    def __init__(self, scale: int = 4) -> None:
        super().__init__()
        if not 1 <= scale <= 16:
            raise StylekitError(f"The option 'scale' of the degradation 'mixed' is {scale}, but must be from 1 to 16.")
        self.scale = scale
        kinds = {"sinc": SINC, **{kind: (1 - SINC) * share for kind, share in KERNELS.items()}}

        def twice(name: str, option: str, key: str, **common: Any) -> nn.ModuleList:
            """A degradation for both rounds, with one option of each round's."""
            return nn.ModuleList(make("degradation", name, **{option: each[key]}, **common) for each in ROUNDS)

        self.blurs = twice("blur", "sigma", "sigma", kinds=kinds)
        self.gaussian = twice("gaussian-noise", "sigma", "noise", grey=GREY)
        self.poisson = twice("poisson-noise", "strength", "photons", grey=GREY)
        self.jpeg = make("degradation", "jpeg", quality=QUALITY)
        self.sinc = make("degradation", "blur", kinds=("sinc",))

    def forward(self, image: Tensor) -> Tensor:
        """Degrades images ``(N, 3, H, W)`` in [0, 1] to ``(N, 3, H // scale, W // scale)``."""
        return torch.cat([self._degraded(each) for each in image.split(1)])

    def _degraded(self, image: Tensor) -> Tensor:
        height, width = (side // self.scale for side in image.shape[2:])
        image = self.jpeg(self._round(0, image, *image.shape[2:]))
        image = self._round(1, image, height, width)
        before = chance(0.5)
        image = image if before else self.jpeg(image)
        image = resized(image, height, width)
        image = self.sinc(image) if chance(LAST) else image
        return self.jpeg(image) if before else image

    def _round(self, number: int, image: Tensor, height: int, width: int) -> Tensor:
        """One round of blur, resizing to a random multiple of a size, and noise."""
        settings = ROUNDS[number]
        if chance(settings["blurred"]):
            image = self.blurs[number](image)
        (up, down), (least, most), share = settings["resize"], settings["range"], float(torch.rand(()))
        if share < up + down:
            low, high = (1.0, most) if share < up else (least, 1.0)
            factor = low + (high - low) * float(torch.rand(()))
        else:
            factor = 1.0
        image = resized(image, max(1, round(height * factor)), max(1, round(width * factor)))
        noise = self.gaussian if chance(0.5) else self.poisson
        noisy: Tensor = noise[number](image)
        return noisy


def chance(share: float) -> bool:
    return float(torch.rand(())) < share


def resized(image: Tensor, height: int, width: int) -> Tensor:
    """Resizes images by a random filter, without antialiasing, as the paper's code does."""
    mode = MODES[int(torch.randint(len(MODES), ()))]
    return F.interpolate(image, (height, width), mode=mode).clamp(0, 1)


@hookimpl
def stylekit_degradations() -> dict[str, Callable[..., Degradation]]:
    return {"mixed": Mixed}
