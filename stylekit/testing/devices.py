"""Does a module leave nothing behind when it moves to another device? Told without one, by tensors that only say so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from stylekit.errors import StylekitError
from stylekit.testing.kit import explained, one_line, require
from stylekit.testing.pictures import difference, tensors

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
    require_no_plain_tensors(module.part if isinstance(module, Called) else module)
    state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    there = {name: _fake(mode, tensor) for name, tensor in state.items()}
    with torch.no_grad():
        try:
            with mode:
                torch.func.functional_call(module, there, tuple(_fake(mode, each) for each in inputs))
        except Exception as error:
            # Whatever else fails, such as a question for a value, which these tensors do not have, says nothing of devices.
            if any(words in str(error) for words in ("same device", "different devices")):
                raise StylekitError(f"On another device {what} fails: {one_line(error)} {CURE}") from error
        if torch.cuda.is_available():
            real = {name: tensor.cuda() for name, tensor in state.items()}
            with explained(f"On a CUDA device {what} fails", CURE):
                torch.func.functional_call(module, real, tuple(each.cuda() for each in inputs))


def require_no_plain_tensors(module: nn.Module) -> None:
    """Checks that every tensor of a module is a parameter or a buffer.

    Raises:
        StylekitError: one is neither; it is named.
    """
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            if name not in _MOVED:
                # A number beside a picture may stay on any device.
                left = any(tensor.ndim for tensor in _held(value))
                owner = f"{type(part).__name__}{f' ({path})' if path else ''}"
                require(
                    not left,
                    f"self.{name} of {owner} is a plain tensor, which stays behind when the part moves: register_buffer "
                    f"it, as in self.register_buffer({name!r}, ...).",
                )


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


def require_float64(call: Callable[[torch.dtype], Any], what: str) -> None:
    """Checks that what is called with float64 gives float64, and the values of float32.

    Args:
        call: gives the output for a type
        what: how to name it

    Raises:
        StylekitError: it does not, or fails.
    """
    with explained(f"In float64 {what} fails", CURE):
        out = call(torch.float64)
    given = {str(tensor.dtype).removeprefix("torch.") for tensor in tensors(out)}
    require(given <= {"float64"}, f"{what} gave {', '.join(sorted(given))} for float64. {CURE}")
    apart = difference(call(torch.float32), out)
    require(apart < 1e-2, f"{what} gives other values in float64, by {apart:.2g}. {CURE}")
