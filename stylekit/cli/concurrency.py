"""How many images are stylised at the same time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stylekit.images import Picture
    from stylekit.inference.model import Model

AT_ONCE = 4
"""Maximum number of images that are stylised at the same time: with more, threads wait for Python's global lock."""
LARGE = 2**20
"""Pixels above which an image is stylised alone, because it keeps all cores busy by itself."""


class Concurrency:
    """How many images are stylised at once, in threads: on a CPU, one image of typical size leaves cores idle.

    Args:
        model: the model that stylises the images
        count: number of images
        options: the method's options for these images
    """

    def __init__(self, model: Model, count: int, options: Mapping[str, Any]) -> None:
        import torch

        from stylekit.native.devices import free_memory

        model.needed_memory(1, 1, options)  # measured now, before there are threads
        cores = torch.get_num_threads()
        concurrent = model.method.capabilities.thread_safe and model.device.type == "cpu"
        self.model, self.options = model, options
        self.cores = -(-cores // min(AT_ONCE, count)) if concurrent else cores
        self.at_once = cores // self.cores
        self.share = free_memory(model.device) // 2 // self.at_once

    def prepare(self) -> None:
        """Sets the number of cores that the current thread may use."""
        import torch

        torch.set_num_threads(self.cores)

    def together(self, picture: Picture) -> bool:
        """Whether an image can be stylised next to others: it is small, and together they are known to need at most half
        the memory."""
        height, width = picture.image.shape[-2:]
        if self.at_once == 1 or height * width > LARGE:
            return False
        return 0 < self.model.needed_memory(height, width, self.options) <= self.share
