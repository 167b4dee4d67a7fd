"""Blur: out of focus, moved, or as the kernels of Real-ESRGAN have it (Wang et al. 2021, section 3.2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import StylekitError, hookimpl
from stylekit.hookspecs import Degradation
from stylekit.images import Range, require_range

Kind = Literal["isotropic", "anisotropic", "generalized", "plateau", "motion", "defocus", "sinc"]
SIDE = 21
"""Side of all kernels in pixels."""
BETA: dict[str, tuple[float, float]] = {"generalized": (0.5, 4.0), "plateau": (1.0, 2.0)}
"""The exponents of two kinds of kernels, as in the paper's code."""


class Blur(nn.Module):
    """Convolves each image with a kernel of its own, of 21 x 21 pixels, whose sum is 1; border pixels are repeated outwards.

    With q the squared distance from the middle in units of the standard deviations along two turned axes, the kernels are
    proportional to: ``exp(-q / 2)``, round (isotropic) or not (anisotropic); ``exp(-q^b / 2)``, b from 0.5 to 4 (generalized);
    ``1 / (1 + q^b)``, b from 1 to 2 (plateau); a line (motion); a disk (defocus); or the round sinc filter, which rings, with a
    cutoff from pi / 3 to pi (sinc).

    Args:
        kinds: kinds of kernels, of which one is drawn for each image, or a weight for each
        sigma: standard deviation in pixels of the first four kinds, or a range of it, for each axis
        length: length in pixels of motions, whose direction is random, or a range of it
        radius: radius in pixels of disks, or a range of it

    Raises:
        StylekitError: there is no kind, or a number is out of range.
    """

    def __init__(
        self,
        kinds: Mapping[Kind, float] | tuple[Kind, ...] = ("isotropic", "anisotropic", "motion", "defocus"),
        sigma: Range = (0.5, 3.0),
        length: Range = (5.0, 15.0),
        radius: Range = (1.0, 4.0),
    ) -> None:
        super().__init__()
        weights = kinds if isinstance(kinds, Mapping) else dict.fromkeys(kinds, 1.0)
        if not weights or min(weights.values()) < 0 or not sum(weights.values()) > 0:
            raise StylekitError(f"The degradation 'blur' needs kinds with weights of at least 0, not {kinds}.")
        require_range("degradation 'blur'", 0.05, 6, sigma=sigma)
        require_range("degradation 'blur'", 1, SIDE - 1, length=length)
        require_range("degradation 'blur'", 0.5, SIDE // 2, radius=radius)
        self.kinds, self.weights = tuple(weights), tuple(weights.values())
        self.sigma, self.length, self.radius = sigma, length, radius

    def forward(self, image: Tensor) -> Tensor:
        """Blurs images ``(N, 3, H, W)`` in [0, 1]."""
        count, channels, height, width = image.shape
        kernels = torch.stack([self.kernel() for _ in range(count)]).to(image)
        planes = F.pad(image, (SIDE // 2,) * 4, mode="replicate").transpose(0, 1)  # each image is a group of its own
        out = F.conv2d(planes, kernels[:, None], groups=count).transpose(0, 1)
        return out.reshape(count, channels, height, width).clamp(0, 1)

    def kernel(self) -> Tensor:
        """A random kernel ``(21, 21)``, in float64."""
        kind = self.kinds[int(torch.multinomial(torch.tensor(self.weights), 1))]
        angle = math.pi * float(torch.rand(()))
        at = torch.arange(SIDE, dtype=torch.float64) - SIDE // 2
        down, across = torch.meshgrid(at, at, indexing="ij")
        along = across * math.cos(angle) + down * math.sin(angle)
        beside = down * math.cos(angle) - across * math.sin(angle)
        distance = torch.hypot(down, across)
        if kind == "motion":
            shape = (number(self.length) / 2 + 0.5 - along.abs()).clamp(0, 1) * (1 - beside.abs()).clamp(min=0)
        elif kind == "defocus":
            shape = (number(self.radius) + 0.5 - distance).clamp(0, 1)
        elif kind == "sinc":
            cutoff = number((math.pi / 3, math.pi))
            shape = torch.special.bessel_j1(cutoff * distance) / distance.clamp(min=1e-9)
            shape[SIDE // 2, SIDE // 2] = cutoff / 2  # the limit
        else:
            first = number(self.sigma)
            second = first if kind == "isotropic" else number(self.sigma)
            q = (along / first) ** 2 + (beside / second) ** 2
            q = q ** number(BETA[kind]) if kind in BETA else q
            shape = 1 / (1 + q) if kind == "plateau" else torch.exp(-q / 2)
        return shape / shape.sum()


def number(choice: Range) -> float:
    """A number, drawn uniformly from a range."""
    low, high = (choice, choice) if isinstance(choice, int | float) else choice
    return low + (high - low) * float(torch.rand(()))


@hookimpl
def stylekit_degradations() -> dict[str, Callable[..., Degradation]]:
    return {"blur": Blur}
