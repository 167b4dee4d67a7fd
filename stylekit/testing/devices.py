"""Checks that all tensors of a module move to another device with it. Without such a device, fake tensors stand in."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from stylekit.errors import StylekitError
from stylekit.testing.kit import Check, Subject, explained, one_line, require
from stylekit.testing.pictures import difference, drawn, equal, tensors

CURE = (
    "Create new tensors with the image's device and dtype, as in torch.zeros(3, device=image.device, dtype=image.dtype), or "
    "register them with register_buffer."
)
_MOVED = {"_parameters", "_buffers", "_modules"}


class Called(nn.Module):
    """A module whose ``forward`` calls another function, for torch's tools, which only call ``forward``."""

    def __init__(self, part: nn.Module, call: Callable[..., Any]) -> None:
        super().__init__()
        self.part = part
        self.call = call

    def forward(self, *inputs: Any) -> Any:
        return self.call(*inputs)


def require_moves(module: nn.Module, inputs: Sequence[Tensor], what: str) -> None:
    """Checks that a module works on another device with inputs on it; uses a CUDA device if there is one.

    Raises:
        StylekitError: a tensor stays on the old device. The message names the tensor or the operation.
    """
    state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    with torch.no_grad(), _caches_cleared(module):
        if torch.cuda.is_available():
            with explained(f"On another device {what} fails", CURE):
                moved = {name: tensor.cuda() for name, tensor in state.items()}
                torch.func.functional_call(module, moved, tuple(each.cuda() for each in inputs))
            return
        mode = FakeTensorMode(allow_non_fake_inputs=True)
        moved = {name: _fake(mode, tensor) for name, tensor in state.items()}
        try:
            with mode:
                torch.func.functional_call(module, moved, tuple(_fake(mode, each) for each in inputs))
        except Exception as error:
            # Other errors say nothing about devices: reading a value fails, for example, because fake tensors have none.
            if any(words in str(error) for words in ("same device", "different devices")):
                raise StylekitError(f"On another device {what} fails: {one_line(error)} {CURE}") from error


@contextmanager
def _caches_cleared(module: nn.Module) -> Iterator[None]:
    """Clears what the modules of a part's classes cached within the block: later calls cannot use fake tensors."""
    modules = {type(part).__module__ for part in module.modules()} - {__name__}
    own = [vars(sys.modules[name]) for name in modules if name.split(".")[0] != "torch" and name in sys.modules]
    values = [value for names in own for name, value in names.items() if not name.startswith("__")]
    before = [(value, list(value)) for value in values if isinstance(value, dict)]
    try:
        yield
    finally:
        for value, keys in before:
            for new in value.keys() - keys:
                del value[new]
        for value in values:
            if isinstance(value, functools._lru_cache_wrapper):
                value.cache_clear()


def _tensors(subject: Subject) -> str:
    """Checks that every tensor of a newly built part is a parameter or a buffer.

    Raises:
        StylekitError: a tensor is neither. The message names it.
    """
    for path, part in subject.build().named_modules():
        for name, value in vars(part).items():
            if name not in _MOVED and not _computed(part, name):
                # Scalars can be combined with tensors on any device.
                plain = any(tensor.ndim for tensor in _held(value))
                owner = f"{type(part).__name__}{f' ({path})' if path else ''}"
                require(
                    not plain,
                    f"self.{name} of {owner} is a plain tensor, which does not move with the part to another device: register "
                    f"it, as in self.register_buffer({name!r}, ...).",
                )
    return ""


def _computed(part: nn.Module, name: str) -> bool:
    """Whether torch's weight_norm or spectral_norm computes a tensor from parameters in every forward."""
    parameters = dict(part.named_parameters(recurse=False))
    return f"{name}_orig" in parameters or {f"{name}_g", f"{name}_v"} <= parameters.keys()


TENSORS = Check("tensors", _tensors)


def _held(value: Any) -> Iterator[Tensor]:
    """The tensors in a value, including those in lists, tuples and mappings."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _held(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _held(each)


def _fake(mode: FakeTensorMode, tensor: Tensor) -> Tensor:
    """A tensor without values that claims to be on a CUDA device, which need not exist."""
    return FakeTensor(mode, tensor.detach().to("meta"), torch.device("cuda"))


def require_float64(part: nn.Module, call: Callable[..., Any], inputs: Sequence[Tensor], what: str) -> None:
    """Checks that a part in float64 returns float64, and the same values as in float32 unless it draws random numbers.

    Args:
        part: the part, which is left in float64
        call: returns its output for the inputs
        inputs: in float32
        what: name of the call in messages

    Raises:
        StylekitError: the type or the values differ, or the call fails.
    """
    part.float()
    single, other = drawn(call, inputs, 0), drawn(call, inputs, 1)
    part.double()
    with explained(f"In float64 {what} fails", CURE):
        out = call(*(each.double() if each.is_floating_point() else each for each in inputs))
    dtypes = {str(tensor.dtype).removeprefix("torch.") for tensor in tensors(out)}
    require(dtypes <= {"float64"}, f"{what} returned {', '.join(sorted(dtypes))} for float64. {CURE}")
    error = difference(single, out) if equal(single, other) else 0.0
    require(error < 1e-2, f"{what} returns values in float64 that differ from those in float32 by {error:.2g}. {CURE}")
