"""The networks of ``any-style``: one describes a style by a few numbers, the other paints an image with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit.images import pad_to
from stylekit.layers import NarrowConv2d
from stylekit.ops import Activation, channel_stats, gram_matrix, instance_norm

__all__ = ["Painter", "StyleEncoder", "match", "mean_and_root", "roots"]

STAGES = (32, 64, 96, 128)
"""Channels of the style encoder at a half, a quarter, an eighth and a sixteenth of the image's size."""
RANK = 24
"""Channels of the projections whose covariances describe a style."""
STEP = 1 / 255**2
"""The variance of one 8-bit step, added to the variances of colours, so that rounding errors are not amplified."""
RIDGE = 1e-3
"""Added to the variances of normalised features, which are about 1."""


def conv(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(before, after, 3, stride))


def roots(matrix: Tensor, iterations: int = 16) -> tuple[Tensor, Tensor]:
    """The symmetric roots ``M^(1/2)`` and ``M^(-1/2)`` of positive definite matrices ``(N, C, C)``.

    Coupled Newton-Schulz iterations (Higham 2008, "Functions of Matrices", equation 6.35): only products, so the gradient is
    also defined for equal eigenvalues, unlike that of an eigendecomposition. Each iteration multiplies the square of a small
    eigenvalue's root by 2.25, so 16 iterations suffice for a condition number of 10,000.
    """
    trace = matrix.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
    identity = torch.eye(matrix.shape[1], device=matrix.device, dtype=matrix.dtype)
    root, inverse = matrix / trace, identity.expand_as(matrix)
    for _ in range(iterations):
        factor = 1.5 * identity - 0.5 * inverse @ root
        root, inverse = root @ factor, factor @ inverse
    return root * trace.sqrt(), inverse / trace.sqrt()


def _centred(x: Tensor, ridge: float) -> tuple[Tensor, Tensor, Tensor]:
    """The differences of ``(N, C, H, W)`` from the means, the means ``(N, C)``, and the covariances ``(N, C, C)``."""
    mean = x.mean((2, 3))
    centred = x - mean[..., None, None]
    ridges = ridge * torch.eye(x.shape[1], device=x.device, dtype=x.dtype)
    return centred, mean, gram_matrix(centred) * x.shape[1] + ridges


def mean_and_root(x: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """The mean ``(N, C)`` of the channels of ``(N, C, H, W)``, and the root ``(N, C, C)`` of their covariance."""
    _, mean, covariance = _centred(x, ridge)
    return mean, roots(covariance)[0]


def match(x: Tensor, mean: Tensor, root: Tensor, ridge: float) -> Tensor:
    """Gives ``(N, C, H, W)`` the mean and the covariance of a style by a linear map of the channels (Li et al. 2017,
    equations 2 and 3); ``mean`` and ``root`` have N rows or one."""
    centred, _, covariance = _centred(x, ridge)
    matched = (root @ roots(covariance)[1]) @ centred.flatten(2) + mean[..., None]
    return matched.view_as(x)


class StyleEncoder(nn.Module):
    """Describes a style image by a code: a linear map of the means, standard deviations and covariances of features.

    Args:
        size: length of the code
    """

    stride = 16

    def __init__(self, size: int) -> None:
        super().__init__()
        before = (12, *STAGES[:-1])
        strides = (1, 2, 2, 2)
        self.stages = nn.ModuleList(conv(*each) for each in zip(before, STAGES, strides, strict=True))
        self.projections = nn.ModuleList(nn.Conv2d(width, RANK, 1) for width in STAGES[1:])
        pairs = RANK * (RANK + 1) // 2
        self.code = nn.Linear(2 * sum(STAGES) + len(self.projections) * pairs, size)

    def forward(self, style: Tensor) -> Tensor:
        """Returns the codes ``(N, size)`` of images ``(N, 3, H, W)`` in [0, 1], whose sides are multiples of 16."""
        x = F.pixel_unshuffle(style - 0.5, 2)
        statistics: list[Tensor] = []
        upper = torch.triu_indices(RANK, RANK, device=style.device)
        for stage, projection in zip(self.stages, (None, *self.projections), strict=True):
            x = F.relu(stage(x))
            statistics += channel_stats(x)
            if projection is not None:
                covariance = _centred(projection(x), 0.0)[2]
                statistics.append(covariance[:, upper[0], upper[1]])
        code: Tensor = self.code(torch.cat(statistics, 1))
        return code


class Norms(NamedTuple):
    """The scales and shifts of the conditional instance norms, one tensor ``(N, C)`` for each norm."""

    scales: tuple[Tensor, ...]
    shifts: tuple[Tensor, ...]


class Painter(nn.Module):
    """Paints images in the style of given statistics, at a quarter of their size except at both ends.

    Args:
        width: channels at a quarter of the size; half and a quarter of them at larger sizes
        blocks: number of residual blocks
        code: length of the style code
    """

    stride = 4

    def __init__(self, width: int, blocks: int, code: int) -> None:
        super().__init__()
        half, full = width // 2, max(4, width // 4)
        self.stem, self.down = conv(24, half), conv(half, width, 2)
        self.back = nn.Conv2d(width, width, 1)
        self.blocks = nn.ModuleList(conv(width, width) for _ in range(2 * blocks))
        self.up = nn.ModuleList([conv(width, width), conv(width, full)])
        self.end = nn.Sequential(nn.ReflectionPad2d(1), NarrowConv2d(full + 3, 3, 3))
        self.widths = [width] * (2 * blocks + 1) + [full]
        self.norms = nn.Linear(code, 2 * sum(self.widths))
        nn.init.normal_(self.norms.weight, std=0.02)
        nn.init.zeros_(self.norms.bias)

    def features(self, image: Tensor, recoloured: Tensor) -> Tensor:
        """Normalised features ``(N, width, H/4, W/4)`` of an image and of the same image in the style's colours."""
        pair = torch.cat([image, recoloured], 1) - 0.5
        x = instance_norm(self.stem(F.pixel_unshuffle(pair, 2)), activation="relu")
        return instance_norm(self.down(x))

    def describe(self, style: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and the root of the covariance of a style's features."""
        image = pad_to(style, self.stride, 2 * self.stride)
        return mean_and_root(self.features(image, image), RIDGE)

    def forward(self, content: Tensor, style: Mapping[str, Tensor]) -> Tensor:
        """Returns images of the shape of the content ``(N, 3, H, W)``; values may be slightly outside [0, 1].

        Args:
            content: images ``(N, 3, H, W)`` in [0, 1]
            style: ``code`` (N, code), and mean and root of the ``color`` and of the ``feature`` of a style
        """
        height, width = content.shape[2:]
        image = pad_to(content, self.stride, 2 * self.stride)
        recoloured = match(image, style["color.mean"], style["color.root"], STEP).clamp(-0.25, 1.25)
        x = self.features(image, recoloured)
        x = F.relu(x + self.back(match(x, style["feature.mean"], style["feature.root"], RIDGE)))
        norms = iter(self._norms(style["code"].expand(len(content), -1)))

        def norm(x: Tensor, activation: Activation = "relu", residual: Tensor | None = None) -> Tensor:
            scale, shift = next(norms)
            return instance_norm(x, scale, shift, activation=activation, residual=residual)

        for first, second in zip(self.blocks[::2], self.blocks[1::2], strict=True):
            x = norm(second(norm(first(x))), "none", residual=x)
        x = norm(self.up[0](F.interpolate(x, scale_factor=2.0)))
        x = norm(self.up[1](x))
        x = F.interpolate(x, scale_factor=2.0, mode="bilinear")
        painted = 0.5 + 0.5 * self.end(torch.cat([x, recoloured - 0.5], 1))
        return match(painted, style["color.mean"], style["color.root"], STEP)[..., :height, :width]

    def _norms(self, code: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Scale and shift of each norm, ``(N, C)`` each."""
        both = self.norms(code).split([width for width in self.widths for _ in range(2)], 1)
        return [(1 + scale, shift) for scale, shift in zip(both[::2], both[1::2], strict=True)]
