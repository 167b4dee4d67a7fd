"""An augmentation for stylekit: what a discriminator sees is mirrored at random."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stylekit import hookimpl

STYLEKIT_API = 1


class MyStyle(nn.Module):
    """Mirrors images.

    Args:
        share: the share of images that are mirrored
    """

    def __init__(self, share: float = 0.5) -> None:
        super().__init__()
        self.share = share

    def forward(self, image: Tensor) -> Tensor:
        """Mirrors some of the images ``(N, C, H, W)``."""
        mirrored = torch.rand(len(image), 1, 1, 1, device=image.device) < self.share
        return torch.where(mirrored, image.flip(3), image)


@hookimpl
def stylekit_augmentations() -> dict[str, type[MyStyle]]:
    return {"my-style": MyStyle}
