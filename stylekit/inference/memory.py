"""Estimates how much memory an image needs, before it is stylised."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

PROBE = 128
"""Side of the small image that is measured; larger for a network that would pad it."""

MARGIN = 1.5
"""Factor for the workspace of the convolutions, which is not visible in tensors."""


class PeakBytes(TorchDispatchMode):
    """Counts the bytes of storages that are created within the block and alive at once; ``peak`` is the maximum."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive, self.peak = 0, 0
        self._known: set[int] = set()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False, because nothing is compiled here: otherwise torch imports its compiler to disable it, which takes 1.5 s."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self._track((args, kwargs), new=False)  # such as weights: the result may be a view of them
        result = func(*args, **(kwargs or {}))
        self._track(result, new=True)
        return result

    def _track(self, tree: Any, new: bool) -> None:
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


def probe_image(side: int, channels: int = 3) -> Tensor:
    """A small image for a trial run: noise, because some methods divide by the deviation of an image."""
    return torch.rand(1, channels, side, side, generator=torch.Generator().manual_seed(0))


def bytes_per_pixel(stylize: Callable[[Tensor], Tensor], side: int = PROBE, channels: int = 3) -> float:
    """Estimates how many bytes ``stylize`` needs per pixel of an image, measured on a small one.

    Args:
        stylize: accepts and returns ``(1, C, H, W)``
        side: side of the small image
        channels: its number of channels
    """
    with torch.inference_mode(), PeakBytes() as count:
        stylize(probe_image(side, channels))
    return float(MARGIN * count.peak / side**2)
