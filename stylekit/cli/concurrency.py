"""How many pictures are stylised at the same time."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stylekit.images import Picture
    from stylekit.inference.model import Model

AT_ONCE = 4
"""Pictures that are made at the same time at the most: more of them wait for Python."""
LARGE = 2**20
"""Pixels of a picture that is made alone: it keeps all cores busy by itself, and is long to wait for."""


class Concurrency:
    """How many pictures threads make at once: on a CPU a picture of usual size leaves cores idle.

    Args:
        model: what stylises them
        direction: one of its directions
        pictures: how many there are
    """

    def __init__(self, model: Model, direction: str | None, pictures: int) -> None:
        import torch

        from stylekit.native.devices import free_memory

        with contextlib.suppress(RuntimeError, MemoryError):  # these are told for each picture
            model.needed_memory(1, 1, direction)
        cores, apart = torch.get_num_threads(), model.method.thread_safe and model.device.type == "cpu"
        self.model, self.direction = model, direction
        self.cores = -(-cores // min(AT_ONCE, pictures)) if apart else cores
        self.at_once = cores // self.cores
        self.share = free_memory(model.device) // 2 // self.at_once

    def prepare(self) -> None:
        """Gives a thread its cores."""
        import torch

        torch.set_num_threads(self.cores)

    def together(self, picture: Picture) -> bool:
        """Whether a picture leaves room for others, in time and in memory, of which they take half."""
        height, width = picture.image.shape[-2:]
        if self.at_once == 1 or height * width > LARGE:
            return False
        return self.model.needed_memory(height, width, self.direction) <= self.share
