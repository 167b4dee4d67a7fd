"""How much memory a picture will need, before it is tried."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

PROBE = 128
"""Side of the small image that is tried; larger for a network that pads it."""

MARGIN = 1.5
"""Workspace of the convolutions, which no tensor shows."""


class PeakBytes(TorchDispatchMode):
    """Counts the bytes of the storages that come into being within the block and are alive at once; ``peak`` is the most."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive, self.peak = 0, 0
        self._known: set[int] = set()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No code is compiled here, so torch need not import its compiler to stay clear of it, which takes 1.5 s."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self._note((args, kwargs), new=False)  # such as weights, of which the result may be another view
        result = func(*args, **(kwargs or {}))
        self._note(result, new=True)
        return result

    def _note(self, tree: Any, new: bool) -> None:
        for tensor in tree_iter(tree):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self._add(storage, storage.nbytes() if new else 0)

    def _add(self, storage: torch.UntypedStorage, size: int) -> None:
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        self.alive += size
        self.peak = max(self.peak, self.alive)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.alive -= size


def bytes_per_pixel(stylize: Callable[[Tensor], Tensor], probe: int = PROBE) -> float:
    """About how many bytes ``stylize`` needs for each pixel of an image, found out with a small one.

    Args:
        stylize: takes and gives ``(1, 3, H, W)``
        probe: side of the small image
    """
    with torch.inference_mode(), PeakBytes() as count:
        stylize(torch.zeros(1, 3, probe, probe))
    return float(MARGIN * count.peak / probe**2)
