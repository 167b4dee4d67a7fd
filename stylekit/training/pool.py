"""The history of generated images that a discriminator is shown."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stylekit.errors import StylekitError


class ImagePool(nn.Module):
    """Keeps earlier images and mixes them with new ones (Shrivastava et al. 2017, section 2.3).

    Until it is full it stores and returns each new image. From then on each new image is, with even odds, returned, or
    stored in place of a random earlier one, which is returned instead. A checkpoint holds contents, count and seed. Several
    processes share one pool: each sees every image, and gets back its own share, just as one process with the whole batch
    would. Images of another shape than before empty it.

    Args:
        size: images kept; 0 returns every image as it came
    """

    images: Tensor

    def __init__(self, size: int = 50) -> None:
        super().__init__()
        if size < 0:
            raise StylekitError(f"An image pool keeps 0 images or more, not {size}.")
        self.size = size
        self.register_buffer("images", torch.empty(0))
        self.seen, self.seed = 0, int(torch.randint(2**31, ()))  # numbers, for which no GPU has to be waited

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Gives ``(N, C, H, W)`` images, old and new, for as many new ones; without gradient."""
        images = images.detach()
        if self.size == 0:
            return images
        everyone = _gather(images)
        if self.images.shape[1:] != images.shape[1:]:
            self.images = images.new_zeros((self.size, *images.shape[1:]))
            self.seen = 0
        draws = torch.Generator().manual_seed(self.seed + self.seen)
        chosen = []
        for image in everyone:
            if self.seen < self.size:
                self.images[self.seen] = image
            elif torch.rand((), generator=draws) > 0.5:
                slot = int(torch.randint(self.size, (), generator=draws))
                image, self.images[slot] = self.images[slot].clone(), image
            chosen.append(image)
            self.seen += 1
        start = _rank() * len(images)
        return torch.stack(chosen[start : start + len(images)])

    def get_extra_state(self) -> Tensor:
        """The number of images seen, and the seed."""
        return torch.tensor([self.seen, self.seed])

    def set_extra_state(self, state: Tensor) -> None:
        """Restores them."""
        self.seen, self.seed = map(int, state)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        saved = state_dict.get(f"{prefix}images")
        if saved is not None and len(saved) in (0, self.size):  # the images' shape is known from the first call on
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
    torch.distributed.all_gather(parts, images.contiguous())
    return torch.cat(parts)
