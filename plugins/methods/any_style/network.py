"""The network of ``any-style``: it describes a style by statistics of its own features, and paints an image with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit.images import pad_to
from stylekit.layers import NarrowConv2d, narrow_conv2d
from stylekit.ops import Activation, channel_stats, gram_matrix, instance_norm

__all__ = ["Painter", "match", "mean_and_root", "roots"]

STEP = 1 / 255**2
"""The variance of one 8-bit step, added to the variances of colours, so that rounding errors are not amplified."""
EPS = 1e-5
"""Added to the variances of features."""
RIDGE = 0.01
"""Added to the variances of normalised features, which are 1: no direction is amplified more than tenfold."""
LITTLE = 0.005
"""The share of the first features that a match must change for half of the network's change to be made."""
FIRST = "down"
"""The first place where features are matched."""
At = Callable[[str, Tensor], Tensor]
"""What happens to features at a named place: they are described, or get the statistics of a style."""


def conv(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(before, after, 3, stride))


def matched_conv(before: int, after: int, stride: int = 1) -> nn.Sequential:
    """A convolution whose output gets the statistics of a style; at first, its variance is about that of its input."""
    convolution = nn.Conv2d(before, after, 3, stride)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return nn.Sequential(nn.ReflectionPad2d(1), convolution)


def roots(matrix: Tensor, iterations: int = 10) -> tuple[Tensor, Tensor]:
    """The symmetric roots ``M^(1/2)`` and ``M^(-1/2)`` of positive definite matrices ``(N, C, C)``.

    Coupled Newton-Schulz iterations (Higham 2008, "Functions of Matrices", equation 6.35): only products, so the gradient is
    also defined for equal eigenvalues, unlike that of an eigendecomposition. Each is scaled for the smallest eigenvalue that
    is left (Chen and Chow 2014, "A stable scaling of Newton-Schulz"), so that 10 suffice for 1/10,000 of the trace.
    """
    trace = matrix.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
    identity = torch.eye(matrix.shape[1], device=matrix.device, dtype=matrix.dtype)
    root, inverse, least = matrix / trace, identity.expand_as(matrix), 0.01
    for _ in range(iterations):
        scale = math.sqrt(3 / (1 + least + least**2))
        product, share = inverse @ root, 0.5 * scale**3
        root, inverse = (
            1.5 * scale * root - share * (root @ product),
            1.5 * scale * inverse - share * (product @ inverse),
        )
        least = 0.5 * scale * least * (3 - (scale * least) ** 2)
    return root * trace.sqrt(), inverse / trace.sqrt()


def covariance(centred: Tensor, ridge: float) -> Tensor:
    """The covariances ``(N, C, C)`` of the channels of ``(N, C, H, W)``, whose means are 0, plus a ridge."""
    ridges = ridge * torch.eye(centred.shape[1], device=centred.device, dtype=centred.dtype)
    return gram_matrix(centred) * centred.shape[1] + ridges


def mean_and_root(x: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """The mean ``(N, C)`` of the channels of ``(N, C, H, W)``, and the root ``(N, C, C)`` of their covariance."""
    mean = x.mean((2, 3))
    return mean, roots(covariance(x - mean[..., None, None], ridge))[0]


def match(x: Tensor, mean: Tensor, root: Tensor, ridge: float) -> Tensor:
    """Gives ``(N, C, H, W)`` the mean and the covariance of a style; ``mean`` and ``root`` have N rows or one."""
    return match_centred(x - x.mean((2, 3), keepdim=True), mean, root, ridge)


def match_centred(centred: Tensor, mean: Tensor, root: Tensor, ridge: float) -> Tensor:
    """The same for ``(N, C, H, W)`` whose means are 0: a linear map of the channels (Li et al. 2017, equations 2 and 3)."""
    change = root @ roots(covariance(centred, ridge))[1]
    return torch.baddbmm(mean[..., None], change, centred.flatten(2)).view_as(centred)


def contrast(image: Tensor) -> Tensor:
    """About 1 ``(N,)`` for images, and 0 for those of a single colour, whose features are rounding errors."""
    variance = image.var((2, 3), unbiased=False).mean(1)
    return variance / (variance + STEP)


def changed(matched: Tensor, x: Tensor) -> Tensor:
    """0 ``(N,)`` where a match changes no feature, because the image has the style's statistics already; otherwise near 1."""
    share = (matched - x).square().mean((1, 2, 3)) / matched.square().mean((1, 2, 3)).clamp(min=EPS)
    return share.square() / (share.square() + LITTLE**2)


class Norm(nn.Module):
    """An instance norm with a scale and a shift of each channel, fused with what follows it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, activation: Activation = "relu", residual: Tensor | None = None) -> Tensor:
        return instance_norm(x, self.scale, self.shift, activation=activation, residual=residual)


def even(kernels: Tensor) -> Tensor:
    """Changes kernels ``(..., 3, 3)`` so that each of the four interleaved grids of pixels gets the same total weight.

    They then make constants of patterns that repeat every two pixels, such as those that pixel_shuffle makes of constants.
    """
    lines = kernels.new_tensor([[1, 0, 1], [0, 1, 0]])
    grids = (lines[:, None, :, None] * lines[None, :, None, :]).flatten(0, 1)
    totals = torch.einsum("...hw,ghw->...g", kernels, grids)
    missing = (totals.mean(-1, keepdim=True) - totals) / grids.sum((1, 2))
    return kernels + torch.einsum("...g,ghw->...hw", missing, grids)


class Last(NarrowConv2d):
    """The last convolution, of enlarged features and, as its last three channels, of an image."""

    def forward(self, x: Tensor) -> Tensor:
        features, image = self.weight[:, :-3], self.weight[:, -3:]
        return narrow_conv2d(x, torch.cat([even(features), image], 1), self.bias)


class Block(nn.Module):
    """A residual block, whose branch gets the statistics of a style.

    Args:
        name: name of the place
        width: channels of the block
        rank: channels of the branch
    """

    def __init__(self, name: str, width: int, rank: int) -> None:
        super().__init__()
        self.name = name
        self.first, self.norm, self.second = conv(width, width), Norm(width), matched_conv(width, rank)
        self.back = nn.Conv2d(rank, width, 1)

    def forward(self, x: Tensor, at: At) -> Tensor:
        branch: Tensor = self.second(self.norm(self.first(x)))
        changed: Tensor = x + self.back(at(self.name, branch))
        return changed


class Painter(nn.Module):
    """Paints an image with the statistics of a style, at an eighth, a quarter and a half of its size.

    Args:
        width: channels at a quarter of the size; half of them at half the size, and twice as many at an eighth
        deep: number of residual blocks at an eighth of the size
        blocks: number of residual blocks at a quarter of the size
    """

    stride = 8

    def __init__(self, width: int, deep: int, blocks: int) -> None:
        super().__init__()
        half, full = max(4, width // 2), max(4, width // 4)
        self.stem, self.stem_norm = conv(24, half), Norm(half)
        self.down, self.down_back = matched_conv(half, width, 2), nn.Conv2d(width, width, 1)
        self.deeper, self.deeper_norm = conv(width, 2 * width, 2), Norm(2 * width)
        self.deep = nn.ModuleList(Block(f"deep{k}", 2 * width, width) for k in range(deep))
        self.lift, self.lift_norm = conv(2 * width, width), Norm(width)
        self.blocks = nn.ModuleList(Block(f"block{k}", width, width) for k in range(blocks))
        self.up, self.up_back = matched_conv(width, half), nn.Conv2d(half, half, 1)
        self.last, self.last_norm = conv(half, 4 * full), Norm(4 * full)
        self.end = nn.Sequential(nn.ReflectionPad2d(1), Last(full + 3, 3, 3))

    def _features(self, image: Tensor, recoloured: Tensor, at: At) -> Tensor:
        """Features ``(N, width / 2, H / 2, W / 2)`` of an image, which is also given in the style's colours."""
        pair = torch.cat([image, recoloured], 1) - 0.5
        x = self.stem_norm(self.stem(F.pixel_unshuffle(pair, 2)))
        quarter = F.relu(self.down_back(at(FIRST, self.down(x))))
        x = self.deeper_norm(self.deeper(quarter))
        for block in self.deep:
            x = block(x, at)
        # Coarse features are enlarged smoothly, because steps of 8 pixels would be seen as a grid; fine ones need sharp edges.
        x = self.lift(F.interpolate(F.relu(x), scale_factor=2.0, mode="bilinear"))
        x = self.lift_norm(x, residual=quarter)
        for block in self.blocks:
            x = block(x, at)
        x = self.up(F.interpolate(F.relu(x), scale_factor=2.0))
        return F.relu(self.up_back(at("up", x)))

    def describe(self, style: Tensor) -> dict[str, Tensor]:
        """The mean and the root of the covariance of a style's colours, and statistics of its features.

        Returns:
            ``color.mean`` (N, 3) and ``color.root`` (N, 3, 3), and for each place ``{place}.mean`` (N, C) and ``{place}.root``
            (N, C, C): the root of the correlations, whose rows are multiplied by the standard deviations
        """
        mean, root = mean_and_root(style, STEP)
        found = {"color.mean": mean, "color.root": root}

        def record(name: str, x: Tensor) -> Tensor:
            mean, std = channel_stats(x, EPS)
            correlations = covariance((x - mean[..., None, None]) / std[..., None, None], RIDGE)
            found.update({f"{name}.mean": mean, f"{name}.root": std[..., None] * roots(correlations)[0]})
            return x

        image = pad_to(style, self.stride, 2 * self.stride)
        self._features(image, image, record)
        return found

    def forward(self, content: Tensor, style: Mapping[str, Tensor]) -> Tensor:
        """Returns images of the shape of the content ``(N, 3, H, W)``; values may be slightly outside [0, 1].

        Args:
            content: images ``(N, 3, H, W)`` in [0, 1]
            style: what :meth:`describe` returned, with N rows or one
        """

        shares = []

        def apply(name: str, x: Tensor) -> Tensor:
            matched = match_centred(instance_norm(x, eps=EPS), style[f"{name}.mean"], style[f"{name}.root"], RIDGE)
            if name == FIRST and not self.training:
                shares.append(changed(matched, x) * contrast(content))
            return matched

        height, width = content.shape[2:]
        mean, root = style["color.mean"], style["color.root"]
        recoloured = match(content, mean, root, STEP).clamp(-0.25, 1.25)
        image, tinted = (pad_to(each, self.stride, 2 * self.stride) for each in (content, recoloured))
        x = self.last_norm(self.last(self._features(image, tinted, apply)))
        painted = 0.5 + 0.5 * self.end(torch.cat([F.pixel_shuffle(x, 2), tinted - 0.5], 1))[..., :height, :width]
        for share in shares:  # none in training, where the network would learn to change little
            painted = torch.lerp(recoloured, painted, share[:, None, None, None])
        return match(painted, mean, root, STEP)
