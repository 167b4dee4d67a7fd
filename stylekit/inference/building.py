"""Builds a method for the tensors of a file that anyone may have made: nothing in it may cost much memory or time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from stylekit.errors import StylekitError
from stylekit.inference.torch_defaults import torch_defaults
from stylekit.method import Method
from stylekit.registry.lookup import MissingPart
from stylekit.seeding import seeded
from stylekit.weights.restoring import restoring

ROOM = 3 * 2**28
"""Bytes that a method may have beyond the tensors of its file, such as the networks that only training needs."""
CALLS = 20_000
"""Operations that may build a method, besides 100 for each tensor of its file. A convolution needs about 10."""

SMALL = 2**16
"""Bytes up to which a new tensor has values in the first, cheap build."""
ROUGH = 2**24
"""Bytes up to which a rough bound on the result of an operation is good enough. The meta device takes a second to import."""


class TooLarge(StylekitError):
    """What a file describes is much larger than the file."""


def build_for(tensors: Mapping[str, Tensor], build: Callable[[], Method], check: Callable[[Method], None]) -> Method:
    """Builds a method whose weights are in a file, on the CPU and in float32.

    It is built on the meta device first, where tensors have shapes but no memory, and then compared with the file. A method
    that cannot be built there is built within the same limits.

    Args:
        tensors: the tensors of the file
        build: builds the method
        check: raises an error if a method, on the meta device, does not fit the file

    Raises:
        StylekitError: the method is much larger than the file, or what ``build`` and ``check`` raise.
    """
    size, calls = ROOM + sum(tensor.nbytes for tensor in tensors.values()), CALLS + 100 * len(tensors)
    with seeded("load"), torch_defaults(torch.device("cpu")), restoring():  # not with the caller's random numbers
        draft = _draft(build, size, calls)
        if draft is not None:
            check(draft)
        with _Limits(size, calls):
            return build()


def _draft(build: Callable[[], Method], size: int, calls: int) -> Method | None:
    """The method on the meta device; None if it cannot be built there."""
    try:
        with _Limits(size, calls, dry=True):
            draft = build()
    except (TooLarge, MissingPart):
        raise
    except Exception:  # such as a value that is read from a tensor; the second build raises other errors again
        return None
    _require(_size(draft) <= size)
    return draft


def _size(module: nn.Module) -> int:
    held = {tensor for tensor in (*module.parameters(), *module.buffers()) if not is_lazy(tensor)}
    return sum(tensor.nbytes for tensor in held)


def _require(fits: bool) -> None:
    if not fits:
        raise TooLarge("Its networks would be much larger than the file.")


class _Limits(TorchDispatchMode):
    """Refuses an operation, before it is run, when tensors become too large or operations too many.

    Args:
        size: bytes that the tensors in memory may have together
        calls: number of operations
        dry: whether large tensors are on the meta device; small ones have values, which a constructor may read
    """

    def __init__(self, size: int, calls: int, dry: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.size, self.calls, self.dry = size, calls, dry
        self.total = self.drawn = 0
        self.held: dict[int, tuple[StorageWeakRef, int]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Otherwise torch imports its compiler for the first operation, which takes longer than building."""
        return False

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.calls -= 1
        _require(self.calls >= 0)
        given = _tensors((args, kwargs))
        if self.dry and any(tensor.is_meta for tensor in given):
            return args[0] if _fills(function) else _on_meta(function, args, kwargs)
        if not function.is_view and not function._schema.is_mutable:
            size = _expected_size(function, args, kwargs)
            if self.dry and not given and size > SMALL:
                self.drawn += size
                _require(self.drawn <= 2 * self.size)  # roughly: some tensors may be used only while others are made
                return _on_meta(function, args, kwargs)
            self._reserve(size)
        made = function(*args, **kwargs)
        for tensor in _tensors(made):
            if not tensor.is_meta:
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        _, before = self.held.get(storage._cdata, (None, 0))
        self.held[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self.total += storage.nbytes() - before

    def _reserve(self, size: int) -> None:
        if self.total + size > self.size:  # some of it may be free again
            self.held = {key: each for key, each in self.held.items() if not each[0].expired()}
            self.total = sum(nbytes for _, nbytes in self.held.values())
            _require(self.total + size <= self.size)


def _fills(function: Any) -> bool:
    """Whether an operation only changes the values of a tensor."""
    in_place = function._schema.name.endswith("_")
    return in_place and function._schema.is_mutable and torch.Tag.inplace_view not in function.tags


def _expected_size(function: Any, args: Any, kwargs: Any) -> int:
    """The bytes of an operation's result, before it is run: a rough bound if that is small, otherwise computed on the meta
    device; 0 there, or if it depends on values."""
    named = {**dict(zip((each.name for each in function._schema.arguments), args, strict=False)), **kwargs}
    given = _tensors(list(named.values()))
    if any(tensor.is_meta for tensor in given) or named.get("device") == torch.device("meta"):
        return 0
    numbers = [each for each in tree_leaves(named.get("size", named)) if isinstance(each, int | float)]
    rough = 8 * math.prod(max(1, tensor.numel()) for tensor in given) * math.prod(max(1, abs(each)) for each in numbers)
    if rough <= (ROUGH if given else SMALL):
        return int(rough)
    try:
        return sum(tensor.nbytes for tensor in _tensors(_on_meta(function, args, kwargs)))
    except Exception:
        return 0


def _tensors(values: Any) -> list[Tensor]:
    return [each for each in tree_leaves(values) if isinstance(each, Tensor) and each.layout == torch.strided]


def _on_meta(function: Any, args: Any, kwargs: Any) -> Any:
    def moved(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value if value.is_meta else value.to("meta")
        return None if isinstance(value, torch.Generator) else value

    args, kwargs = tree_map(moved, (args, kwargs))
    if any(each.name == "device" for each in function._schema.arguments):
        kwargs["device"] = torch.device("meta")
    return function(*args, **kwargs)
