"""How many images are stylised at the same time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from stylekit.images import Animation, Picture

if TYPE_CHECKING:
    from stylekit.inference.exported.model import ExportedModel
    from stylekit.inference.model import Model

AT_ONCE = 4
"""Maximum number of images that are stylised at the same time: with more, threads wait for Python's global lock."""
LARGE = 2**20
"""Pixels above which an image is stylised alone, because it keeps all cores busy by itself."""


class Concurrency(Protocol):
    """How many images are stylised at the same time, in threads."""

    @property
    def at_once(self) -> int:
        """The number of threads that stylise images."""
        ...

    def prepare(self) -> None:
        """Called in each of these threads before anything else."""
        ...

    def require_memory(self, height: int, width: int) -> None:
        """Refuses an image that could not be stylised even if nothing else was in memory, before it is decoded.

        Raises:
            StylekitError: it needs more than was free at the start; the message contains both numbers.
        """
        ...

    def together(self, picture: Picture | Animation) -> bool:
        """Whether an image can be stylised next to others."""
        ...


class ExportedConcurrency:
    """The images that an exported model stylises at once: its runtime may be called by several threads.

    Args:
        model: the model
        at_once: number of images; the runtime's threads are those of one image
    """

    def __init__(self, model: ExportedModel, at_once: int) -> None:
        self.model, self.at_once = model, at_once

    def prepare(self) -> None:
        """Does nothing: the runtime has threads of its own."""

    def require_memory(self, height: int, width: int) -> None:
        """Refuses an image for which there is too little memory, before it is decoded."""
        self.model.require_memory(height, width)

    def together(self, picture: Picture | Animation) -> bool:
        """Whether an image can be stylised next to others: it is small, and not an animation."""
        if isinstance(picture, Animation):
            return False
        height, width = picture.image.shape[-2:]
        return height * width <= LARGE


class TorchConcurrency:
    """How many images are stylised at once, in threads: on a CPU, one image of typical size leaves cores idle.

    Args:
        model: the model that stylises the images
        count: number of images
        options: the method's options for these images
    """

    def __init__(self, model: Model, count: int, options: Mapping[str, Any]) -> None:
        import torch

        from stylekit.native import devices

        model.needed_memory(1, 1, options)  # measured now, before there are threads
        cores = torch.get_num_threads()
        concurrent = model.method.capabilities.thread_safe and model.device.type == "cpu"
        self.model, self.options = model, options
        self.cores = -(-cores // min(AT_ONCE, count)) if concurrent else cores
        self.at_once = cores // self.cores
        self.free = devices.free_memory(model.device)
        self.share = self.free // 2 // self.at_once

    def prepare(self) -> None:
        """Sets the number of cores that the current thread may use."""
        import torch

        torch.set_num_threads(self.cores)

    def require_memory(self, height: int, width: int) -> None:
        """Refuses an image that could not be stylised even if nothing else was in memory, before it is decoded.

        Raises:
            StylekitError: it needs more than was free at the start; the message contains both numbers.
        """
        if self.model.needed_memory(height, width, self.options) > self.free:
            self.model.require_memory(height, width, self.options)

    def together(self, picture: Picture | Animation) -> bool:
        """Whether an image can be stylised next to others: it is small and not an animation, and together they are known to
        need at most half the memory."""
        if isinstance(picture, Animation):
            return False
        height, width = picture.image.shape[-2:]
        if self.at_once == 1 or height * width > LARGE:
            return False
        return 0 < self.model.needed_memory(height, width, self.options) <= self.share
