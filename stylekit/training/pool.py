"""A pool of earlier generated images for a discriminator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stylekit.errors import StylekitError
from stylekit.training.connection import connected


class ImagePool(nn.Module):
    """Stores earlier images and mixes them with new ones (Shrivastava et al. 2017, section 2.3).

    Until the pool is full, it stores and returns each new image. After that, each new image is, with equal probability,
    either returned, or stored in place of a random earlier image, which is returned instead. A checkpoint contains the
    images, their count and the seed. Several processes share one pool: each processes the images of all and returns its
    own share, exactly like one process with the whole batch. Images of another shape empty the pool.

    Args:
        size: number of images to store; 0 returns every image unchanged
    """

    images: Tensor

    def __init__(self, size: int = 50) -> None:
        super().__init__()
        if size < 0:
            raise StylekitError(f"The size of an image pool must be at least 0, not {size}.")
        self.size = size
        self.register_buffer("images", torch.empty(0))
        self.seen, self.seed = 0, int(torch.randint(2**31, ()))  # numbers, not tensors, to avoid waiting for a GPU

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Returns images ``(N, C, H, W)``, earlier and new ones, for as many new ones; without gradient."""
        images = images.detach()
        if self.size == 0:
            return images
        gathered = _gather(images)
        if self.images.shape[1:] != images.shape[1:]:
            self.images = images.new_zeros((self.size, *images.shape[1:]))
            self.seen = 0
        generator = torch.Generator().manual_seed(self.seed + self.seen)
        chosen = []
        for image in gathered:
            if self.seen < self.size:
                self.images[self.seen] = image
            elif torch.rand((), generator=generator) > 0.5:
                slot = int(torch.randint(self.size, (), generator=generator))
                image, self.images[slot] = self.images[slot].clone(), image
            chosen.append(image)
            self.seen += 1
        start = _rank() * len(images)
        return torch.stack(chosen[start : start + len(images)])

    def get_extra_state(self) -> Tensor:
        """The number of images seen, and the seed."""
        return torch.tensor([self.seen, self.seed])

    def set_extra_state(self, state: Tensor) -> None:
        """Restores the number of images seen, and the seed."""
        self.seen, self.seed = map(int, state)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        saved = state_dict.get(f"{prefix}images")
        if saved is not None and len(saved) in (0, self.size):  # the images' shape is unknown before the first call
            self.images = torch.empty_like(saved, device=self.images.device)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _rank() -> int:
    return torch.distributed.get_rank() if _distributed() else 0


def _gather(images: Tensor) -> Tensor:
    """The images of all processes, in the order of their ranks."""
    if not _distributed():
        return images
    parts = [torch.empty_like(images) for _ in range(torch.distributed.get_world_size())]
    with connected():
        torch.distributed.all_gather(parts, images.contiguous())
    return torch.cat(parts)
