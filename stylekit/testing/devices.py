"""Does a module leave nothing behind when it moves to another device? Told without one, by tensors that only say so."""

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
    "Make new tensors beside the picture, as in torch.zeros(3, device=image.device, dtype=image.dtype), or register_buffer "
    "them."
)
_MOVED = {"_parameters", "_buffers", "_modules"}


class Called(nn.Module):
    """A module whose ``forward`` is another function of it: what torch's tools take, which know nothing else."""

    def __init__(self, part: nn.Module, call: Callable[..., Any]) -> None:
        super().__init__()
        self.part = part
        self.call = call

    def forward(self, *inputs: Any) -> Any:
        return self.call(*inputs)


def require_moves(module: nn.Module, inputs: Sequence[Tensor], what: str) -> None:
    """Checks that a module works on another device, with inputs there; on a CUDA device, if there is one.

    Raises:
        StylekitError: a tensor stays behind; it is named, or where it was met.
    """
    state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    with torch.no_grad(), _forgotten(module):
        if torch.cuda.is_available():
            with explained(f"On another device {what} fails", CURE):
                there = {name: tensor.cuda() for name, tensor in state.items()}
                torch.func.functional_call(module, there, tuple(each.cuda() for each in inputs))
            return
        mode = FakeTensorMode(allow_non_fake_inputs=True)
        there = {name: _fake(mode, tensor) for name, tensor in state.items()}
        try:
            with mode:
                torch.func.functional_call(module, there, tuple(_fake(mode, each) for each in inputs))
        except Exception as error:
            # Whatever else fails, such as a question for a value, which these tensors do not have, says nothing of devices.
            if any(words in str(error) for words in ("same device", "different devices")):
                raise StylekitError(f"On another device {what} fails: {one_line(error)} {CURE}") from error


@contextmanager
def _forgotten(module: nn.Module) -> Iterator[None]:
    """What the files of a part's classes remember of the block is forgotten: tensors without values are of no use later."""
    files = {type(part).__module__ for part in module.modules()} - {__name__}
    own = [vars(sys.modules[file]) for file in files if file.split(".")[0] != "torch" and file in sys.modules]
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
    """Checks that every tensor of a part, just built, is a parameter or a buffer.

    Raises:
        StylekitError: one is neither; it is named.
    """
    for path, part in subject.build().named_modules():
        for name, value in vars(part).items():
            if name not in _MOVED and not _computed(part, name):
                # A number beside a picture may stay on any device.
                left = any(tensor.ndim for tensor in _held(value))
                owner = f"{type(part).__name__}{f' ({path})' if path else ''}"
                require(
                    not left,
                    f"self.{name} of {owner} is a plain tensor, which stays behind when the part moves: register_buffer "
                    f"it, as in self.register_buffer({name!r}, ...).",
                )
    return ""


def _computed(part: nn.Module, name: str) -> bool:
    """Whether torch's weight_norm or spectral_norm computes a tensor anew from parameters whenever it is used."""
    made_from = dict(part.named_parameters(recurse=False))
    return f"{name}_orig" in made_from or {f"{name}_g", f"{name}_v"} <= made_from.keys()


TENSORS = Check("tensors", _tensors)


def _held(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _held(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _held(each)


def _fake(mode: FakeTensorMode, tensor: Tensor) -> Tensor:
    """A tensor without values that says that it is on a CUDA device; there need be none."""
    return FakeTensor(mode, tensor.detach().to("meta"), torch.device("cuda"))


def require_float64(part: nn.Module, call: Callable[..., Any], inputs: Sequence[Tensor], what: str) -> None:
    """Checks that a part in float64 gives float64, and the values of float32; those need not agree where it draws numbers.

    Args:
        part: what is turned into float64, and stays so
        call: gives its output for the inputs
        inputs: in float32
        what: how to name the call

    Raises:
        StylekitError: it does not, or fails.
    """
    part.float()
    single, other = drawn(call, inputs, 0), drawn(call, inputs, 1)
    part.double()
    with explained(f"In float64 {what} fails", CURE):
        out = call(*(each.double() if each.is_floating_point() else each for each in inputs))
    given = {str(tensor.dtype).removeprefix("torch.") for tensor in tensors(out)}
    require(given <= {"float64"}, f"{what} gave {', '.join(sorted(given))} for float64. {CURE}")
    apart = difference(single, out) if equal(single, other) else 0.0
    require(apart < 1e-2, f"{what} gives other values in float64, by {apart:.2g}. {CURE}")
