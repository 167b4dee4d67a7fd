"""Instance noise: real and generated images overlap, so that the discriminator cannot win at once (Sønderby et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from stylekit import hookimpl
from stylekit.hookspecs import Augmentation


class Noise(nn.Module):
    """Adds normal noise, which falls to zero during training.

    Args:
        std: standard deviation at first, for images in [0, 1]
        until: progress of training, from 0 to 1, at which it becomes zero
    """

    progress: float = 0.0

    def __init__(self, std: float = 0.1, until: float = 0.5) -> None:
        super().__init__()
        self.std, self.until = std, until

    def forward(self, image: Tensor) -> Tensor:
        """Adds noise to images ``(N, C, H, W)``."""
        left = max(0.0, 1 - self.progress / self.until) if self.until > 0 else 0.0
        return image + self.std * left * torch.randn_like(image)


@hookimpl
def stylekit_augmentations() -> dict[str, Callable[..., Augmentation]]:
    return {"noise": Noise}
