"""How many images are stylised at the same time."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stylekit.images import Picture
    from stylekit.inference.model import Model

AT_ONCE = 4
"""Images that are stylised at the same time at most: more of them wait for Python."""
LARGE = 2**20
"""Pixels of an image that is stylised alone: it keeps all cores busy by itself."""


class Concurrency:
    """How many images threads stylise at once: on a CPU an image of usual size leaves cores idle.

    Args:
        model: what stylises them
        count: how many there are
        options: the method's own, with which it stylises
    """

    def __init__(self, model: Model, count: int, options: Mapping[str, Any]) -> None:
        import torch

        from stylekit.native.devices import free_memory

        with contextlib.suppress(RuntimeError, MemoryError):  # these are reported for each image
            model.needed_memory(1, 1, options)
        cores = torch.get_num_threads()
        apart = model.method.capabilities.thread_safe and model.device.type == "cpu"
        self.model, self.options = model, options
        self.cores = -(-cores // min(AT_ONCE, count)) if apart else cores
        self.at_once = cores // self.cores
        self.share = free_memory(model.device) // 2 // self.at_once

    def prepare(self) -> None:
        """Gives a thread its cores."""
        import torch

        torch.set_num_threads(self.cores)

    def together(self, picture: Picture) -> bool:
        """Whether an image leaves room for others, in time and in memory, of which they take half."""
        height, width = picture.image.shape[-2:]
        if self.at_once == 1 or height * width > LARGE:
            return False
        return self.model.needed_memory(height, width, self.options) <= self.share
