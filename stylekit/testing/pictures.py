"""The images that parts are tried on, and checks and comparisons of their outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from stylekit.seeding import seeded
from stylekit.testing.kit import require

SIDE = 64
ODD = (SIDE + 5, SIDE - 7)
"""Two different sides that are not multiples of common strides."""
BATCHES = (1, 3)


def pictures(count: int, height: int = SIDE, width: int = SIDE, channels: int = 3, which: str = "content") -> Tensor:
    """Random images ``(count, channels, height, width)`` in [0, 1]: the same ones for the same arguments."""
    with seeded("pictures to check on", which, count, channels, height, width):
        return torch.rand(count, channels, height, width)


def parameters_of(module: nn.Module) -> str:
    """The number of parameters of a module, in words, without uninitialised lazy layers."""
    return f"{sum(p.numel() for p in module.parameters() if not is_lazy(p)):,} parameters"


def min_size(module: nn.Module) -> int:
    """The side of images that are large enough for training a module: at least ``SIDE``, and its children's ``min_size``."""
    return max(SIDE, *(int(getattr(part, "min_size", 1)) for part in module.children()), 1)


def require_shape(out: Any, like: Tensor, what: str, scale: int = 1) -> None:
    """Raises StylekitError unless ``out`` is a tensor of the shape of ``like``, its sides multiplied by ``scale``."""
    require(isinstance(out, Tensor), f"{what} must return a tensor, not {type(out).__name__}.")
    expected = (*like.shape[:-2], like.shape[-2] * scale, like.shape[-1] * scale)
    require(
        tuple(out.shape) == expected,
        f"{what} returned {tuple(out.shape)} for {tuple(like.shape)}, but must return {expected}: pad the input and crop the "
        f"output{f' (scale is {scale})' if scale > 1 else ', or set scale'}.",
    )


def require_image(out: Any, like: Tensor, what: str, scale: int = 1) -> None:
    """Raises StylekitError unless ``out`` is an image of the shape of ``like``, its sides multiplied by ``scale``, with
    finite values in [0, 1]."""
    require_shape(out, like, what, scale)
    require(out.is_floating_point(), f"{what} must return a float image, not {out.dtype}.")
    require(bool(torch.isfinite(out).all()), f"{what} returned NaN or infinity.")
    low, high = float(out.min()), float(out.max())
    require(
        low >= -1e-3 and high <= 1 + 1e-3,
        f"{what} returned values from {low:.3g} to {high:.3g}: images must be in [0, 1].",
    )


def tensors(out: Any) -> list[Tensor]:
    """The tensors of an output: a tensor, a list of them, or a mapping to them."""
    values = out.values() if isinstance(out, Mapping) else [out] if isinstance(out, Tensor) else out
    return [value for value in values if isinstance(value, Tensor)]


def drawn(call: Callable[..., Any], inputs: Sequence[Tensor], draw: int = 0) -> Any:
    """The output of a call under a seed, ``draw``. If two seeds give different outputs, the call is random."""
    with seeded("call", draw):
        return call(*(each.clone() for each in inputs))


def equal(out: Any, other: Any) -> bool:
    """Whether two outputs are equal, value for value. NaN equals NaN."""
    return all(
        a.shape == b.shape and bool(((a == b) | (a.isnan() & b.isnan())).all())
        for a, b in zip(tensors(out), tensors(other), strict=True)
    )


def difference(out: Any, other: Any) -> float:
    """The largest absolute difference of two outputs, relative to the largest absolute value of the second, or 1."""
    pairs = list(zip(tensors(out), tensors(other), strict=True))
    largest = max([1.0, *(float(b.abs().max()) for _, b in pairs if b.numel())])
    return max([0.0, *(float((a.double() - b.double()).abs().max()) for a, b in pairs if b.numel())]) / largest


def first_difference(state: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> str | None:
    """The name of the first tensor that differs between two states; None if they are equal."""
    return next((name for name in state if name not in other or not torch.equal(state[name], other[name])), None)
