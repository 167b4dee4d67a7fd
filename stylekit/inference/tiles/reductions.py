"""The operations that look at a whole feature map: norms, statistics, Gram matrices, means and extremes.

Each is split into what is measured of a piece of the map, which can be merged with the measurements of other pieces, and the
result for a piece, given the merged measurements. So the pieces of an image can be computed one after the other, as if each
was seen with all others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from stylekit.ops import channel_stats, gram_matrix, reference


@dataclass(frozen=True)
class Moments:
    """The count of pixels, and the mean and the variance ``(C,)`` of each channel, in float64."""

    count: int
    mean: Tensor
    variance: Tensor

    @classmethod
    def of(cls, x: Tensor) -> Moments:
        """The moments of features ``(N, C, H, W)``; all N are pieces of one map."""
        if x.requires_grad:  # a standard deviation of 0 has no gradient
            variance, mean = (each.double() for each in torch.var_mean(reference.wide(x), (2, 3), correction=0))
        else:
            mean, std = (each.double() for each in channel_stats(x.contiguous(), 0.0))
            variance = std.square()
        first, *others = (cls(x.shape[2] * x.shape[3], *each) for each in zip(mean, variance, strict=True))
        for other in others:
            first = first.merged(other)
        return first

    def merged(self, other: Moments) -> Moments:
        """The moments of both (Chan et al. 1979)."""
        count = self.count + other.count
        share, change = other.count / count, other.mean - self.mean
        spread = share * (1 - share) * change.square()
        variance = torch.lerp(self.variance, other.variance, share) + spread
        return Moments(count, self.mean + share * change, variance)

    def without(self, part: Moments) -> Moments:
        """The moments of the rest: merged with the part, they are these."""
        share = part.count / self.count
        if share == 1:
            return Moments(0, torch.zeros_like(self.mean), torch.zeros_like(self.variance))
        mean = (self.mean - share * part.mean) / (1 - share)
        spread = share * (1 - share) * (part.mean - mean).square()
        variance = (self.variance - share * part.variance - spread) / (1 - share)
        return Moments(self.count - part.count, mean, variance.clamp(min=0))


@dataclass(frozen=True)
class Products:
    """The count of pixels, and the mean products ``(C, C)`` of their channels, in float64."""

    count: int
    mean: Tensor

    @classmethod
    def of(cls, x: Tensor) -> Products:
        """The products of features ``(N, C, H, W)``; all N are pieces of one map."""
        return cls(len(x) * x.shape[2] * x.shape[3], gram_matrix(x.contiguous()).double().mean(0) * x.shape[1])

    def merged(self, other: Products) -> Products:
        """The products of both."""
        count = self.count + other.count
        return Products(count, torch.lerp(self.mean, other.mean, other.count / count))

    def without(self, part: Products) -> Products:
        """The products of the rest: merged with the part, they are these."""
        share = part.count / self.count
        rest = torch.zeros_like(self.mean) if share == 1 else (self.mean - share * part.mean) / (1 - share)
        return Products(self.count - part.count, rest)


@dataclass(frozen=True)
class Extremes:
    """The least and the largest value ``(C,)`` of each channel."""

    least: Tensor
    most: Tensor

    @classmethod
    def of(cls, x: Tensor) -> Extremes:
        """The extremes of features ``(N, C, H, W)``."""
        return cls(x.amin((0, 2, 3)), x.amax((0, 2, 3)))

    def merged(self, other: Extremes) -> Extremes:
        """The extremes of both."""
        return Extremes(torch.minimum(self.least, other.least), torch.maximum(self.most, other.most))

    def without(self, part: Extremes) -> Extremes:
        """The same: where the extremes are is not known."""
        return self


Measured: TypeAlias = Moments | Products | Extremes


@dataclass(frozen=True)
class Reduction:
    """A call of such an operation.

    Attributes:
        x: the features ``(N, C, H, W)``
        measure: what is measured of some of them
        result: what the call returns, given what was measured of all pieces
    """

    x: Tensor
    measure: Callable[[Tensor], Measured]
    result: Callable[[Any], Any]


def find_reduction(function: Any, args: Sequence[Any], options: Mapping[str, Any]) -> Reduction | None:
    """The reduction that a call of a torch function is; None if it is something else."""
    split = SPLIT.get(function)
    found = split(*args, **options) if split else None
    return found if found and found.x.ndim == 4 and found.x.is_floating_point() else None


# Norms


def _normalized(
    x: Tensor,
    found: Moments,
    scale: Tensor | None,
    shift: Tensor | None,
    eps: float,
    alpha: float = 1.0,
) -> Tensor:
    """``alpha * (scale * xhat + shift) + (1 - alpha) * x``.

    No value is farther from the mean of ``n`` than ``sqrt(n)`` standard deviations (Samuelson 1968), so ``xhat`` is limited to
    that. What is farther is a rounding error, in maps of one colour, or no part of what was measured; further norms would
    amplify it to infinity.
    """
    wide, inverse = reference.wide(x), (found.variance + eps).rsqrt()

    def plane(values: Tensor) -> Tensor:
        return reference.per_plane(values).to(wide)

    reach = plane(math.sqrt(found.count) / inverse)
    deviation = torch.clamp(wide - plane(found.mean), -reach, reach)
    factor = alpha * (inverse if scale is None else scale.double() * inverse)
    out = (
        deviation * plane(factor)
        if shift is None
        else torch.addcmul(plane(alpha * shift.double()), deviation, plane(factor))
    )
    return out if alpha == 1 else out + (1 - alpha) * wide


def _normalize(
    x: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    residual: Tensor | None,
    eps: float,
    alpha: float,
    slope: float,
) -> Reduction:
    def result(moments: Moments) -> tuple[Tensor, ...]:
        y = _normalized(x, moments, scale, shift, eps, alpha)
        # The kernel's first output, and the only one that inference uses.
        return (reference.finished(y, residual, slope).to(x.dtype),)

    return Reduction(x, Moments.of, result)


def _adain(content: Tensor, style: Tensor, eps: float, alpha: float) -> Reduction:
    mean, std = channel_stats(style, eps)
    return _normalize(content, std, mean, None, eps, alpha, 1.0)


def _instance_norm(
    x: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Reduction | None:
    if not use_input_stats:
        return None
    return Reduction(x, Moments.of, lambda found: _normalized(x, found, weight, bias, eps).to(x.dtype))


def _group_norm(
    x: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Reduction:
    def result(found: Moments) -> Tensor:
        means = found.mean.view(num_groups, -1)
        mean = means.mean(1, keepdim=True)
        variance = (found.variance.view(num_groups, -1) + (means - mean).square()).mean(1, keepdim=True)
        count = found.count * means.shape[1]
        moments = Moments(count, *(values.expand_as(means).flatten() for values in (mean, variance)))
        return _normalized(x, moments, weight, bias, eps).to(x.dtype)

    return Reduction(x, Moments.of, result)


# Statistics


def _channel_stats(x: Tensor, eps: float) -> Reduction:
    def result(found: Moments) -> tuple[Tensor, Tensor]:
        values = found.mean, (found.variance + eps).sqrt()
        mean, std = (each.expand(len(x), -1).to(reference.wide(x)) for each in values)
        return mean, std

    return Reduction(x, Moments.of, result)


def _gram(x: Tensor, normalize: bool = True) -> Reduction:
    def result(found: Products) -> Tensor:
        factor = 1 / x.shape[1] if normalize else found.count
        return (found.mean * factor).expand(len(x), -1, -1).to(reference.wide(x))

    return Reduction(x, Products.of, result)


def _dims(x: Tensor, dim: Any) -> set[int] | None:
    """The dimensions that a reduction is over, if those of the image are among them."""
    given = range(x.ndim) if dim is None or dim == () else [dim] if isinstance(dim, int) else dim
    dims = {each % x.ndim for each in given}
    return dims if x.ndim == 4 and {2, 3} <= dims else None


def _shaped(values: Tensor, x: Tensor, dims: set[int], keepdim: bool) -> Tensor:
    """Values ``(C,)`` or ``(1,)`` as the result of a reduction of ``x`` over these dimensions."""
    full = values.to(x.dtype).view(1, -1, 1, 1).expand(1 if 0 in dims else len(x), -1, -1, -1)
    return full if keepdim else full.squeeze(tuple(sorted(dims)))


def _together(found: Moments, dims: set[int]) -> Moments:
    """The moments of each channel, or of all as one."""
    if 1 not in dims:
        return found
    mean = found.mean.mean(0, keepdim=True)
    variance = (found.variance + (found.mean - mean).square()).mean(0, keepdim=True)
    return Moments(found.count * len(found.mean), mean, variance)


def _moment(value: Callable[[Moments, float], Tensor]) -> Callable[..., Reduction | None]:
    """A reduction of torch whose result is computed from the moments and the correction of the variance."""

    def split(
        x: Tensor,
        dim: Any = None,
        unbiased: Any = True,
        keepdim: bool = False,
        correction: float | None = None,
        **others: Any,
    ) -> Reduction | None:
        # torch.var(x, dim, unbiased, keepdim) or (x, dim, *, correction, keepdim); torch.mean(x, dim, keepdim)
        dims = _dims(x, others.get("axis", dim))
        if dims is None or set(others) - {"axis"}:
            return None
        subtracted = float(unbiased) if correction is None else correction
        return Reduction(
            x, Moments.of, lambda found: _shaped(value(_together(found, dims), subtracted), x, dims, keepdim)
        )

    return split


def _plain(value: Callable[[Moments], Tensor]) -> Callable[..., Reduction | None]:
    """The same for reductions without a correction."""
    split = _moment(lambda found, _: value(found))
    return lambda x, dim=None, keepdim=False, **others: split(x, dim, keepdim=keepdim, **others)


def _variance(found: Moments, subtracted: float) -> Tensor:
    return found.variance * (found.count / max(found.count - subtracted, 1e-12))


def _with_mean(split: Callable[..., Reduction | None]) -> Callable[..., Reduction | None]:
    """A reduction that returns the mean as a second value."""

    def both(x: Tensor, dim: Any = None, *args: Any, **options: Any) -> Reduction | None:
        first, mean = split(x, dim, *args, **options), _mean(x, dim, keepdim=options.get("keepdim", False))
        if first is None or mean is None:
            return None
        return Reduction(x, Moments.of, lambda found: (first.result(found), mean.result(found)))

    return both


def _pooled(x: Tensor, output_size: Any) -> Reduction | None:
    sides = {output_size} if isinstance(output_size, int) else set(output_size)
    return _mean(x, (2, 3), keepdim=True) if sides == {1} else None


def _extreme(name: str) -> Callable[..., Reduction | None]:
    def split(x: Tensor, dim: Any = None, keepdim: bool = False) -> Reduction | None:
        dims = _dims(x, dim)
        if dims is None:
            return None

        def result(found: Extremes) -> Tensor:
            values = found.least if name == "amin" else found.most
            return _shaped(getattr(values, name)(0, keepdim=True) if 1 in dims else values, x, dims, keepdim)

        return Reduction(x, Extremes.of, result)

    return split


_mean = _plain(lambda found: found.mean)
_var = _moment(_variance)
_std = _moment(lambda found, subtracted: _variance(found, subtracted).sqrt())

SPLIT: dict[Any, Callable[..., Reduction | None]] = {
    F.instance_norm: _instance_norm,
    F.group_norm: _group_norm,
    torch.group_norm: _group_norm,
    F.adaptive_avg_pool2d: _pooled,
    reference.gram_matrix: _gram,
    **dict.fromkeys((torch.mean, Tensor.mean), _mean),
    **dict.fromkeys((torch.sum, Tensor.sum), _plain(lambda found: found.mean * found.count)),
    **dict.fromkeys((torch.var, Tensor.var), _var),
    **dict.fromkeys((torch.std, Tensor.std), _std),
    torch.var_mean: _with_mean(_var),
    torch.std_mean: _with_mean(_std),
    **dict.fromkeys((torch.amin, Tensor.amin), _extreme("amin")),
    **dict.fromkeys((torch.amax, Tensor.amax), _extreme("amax")),
}
KERNELS: dict[str, Callable[..., Reduction | None]] = {
    "normalize": _normalize,
    "adain": _adain,
    "channel_stats": _channel_stats,
    "gram": _gram,
}
SPLIT |= {
    getattr(torch.ops.stylekit, name).default: split
    for name, split in KERNELS.items()
    if hasattr(torch.ops.stylekit, name)  # the kernels are built
}
