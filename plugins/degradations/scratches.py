"""Scratches and dust, as on old prints and films."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from stylekit import StylekitError, hookimpl
from stylekit.hookspecs import Degradation


class Scratches(nn.Module):
    """Draws thin, nearly vertical lines and specks, each white or black and partly transparent.

    Args:
        lines: largest number of lines; their number is drawn for each image, from 0 on
        dust: largest number of specks

    Raises:
        StylekitError: a number is not from 0 to 1000.
    """

    def __init__(self, lines: int = 6, dust: int = 20) -> None:
        super().__init__()
        if not (0 <= lines <= 1000 and 0 <= dust <= 1000):
            raise StylekitError(
                f"The degradation 'scratches' needs numbers of lines and dust from 0 to 1000, not {lines} and {dust}."
            )
        self.lines, self.dust = lines, dust

    def forward(self, image: Tensor) -> Tensor:
        """Scratches images ``(N, 3, H, W)`` in [0, 1]."""
        count, _, height, width = image.shape
        down = torch.arange(height, device=image.device, dtype=image.dtype).view(1, 1, -1, 1)
        across = torch.arange(width, device=image.device, dtype=image.dtype).view(1, 1, 1, -1)

        def uniform(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(count, 1, 1, 1, device=image.device, dtype=image.dtype)

        def shown(most: int) -> Tensor:
            """Which of ``most`` marks an image has: ``(most, N, 1, 1, 1)``."""
            number = torch.randint(most + 1, (count, 1, 1, 1), device=image.device)
            return torch.arange(most, device=image.device).view(-1, 1, 1, 1, 1) < number

        for each in shown(self.lines):
            start, length, middle = uniform(-0.2, 0.8) * height, uniform(0.2, 1.2) * height, uniform(0, width - 1)
            at = middle + uniform(-0.08, 0.08) * (down - start)
            cover = (uniform(0.6, 1.4) - (across - at).abs()).clamp(0, 1)
            cover = cover * ((down >= start) & (down <= start + length)) * uniform(0.3, 1)
            image = marked(image, cover * each)
        for each in shown(self.dust):
            away = torch.hypot(down - uniform(0, height - 1), across - uniform(0, width - 1))
            image = marked(image, (uniform(0.8, 2.2) - away).clamp(0, 1) * uniform(0.3, 1) * each)
        return image


def marked(image: Tensor, cover: Tensor) -> Tensor:
    """The images with a mark, white or black for each, that covers them to a share ``(N, 1, H, W)``."""
    color = torch.randint(2, (len(image), 1, 1, 1), device=image.device).to(image)
    return image + cover * (color - image)


@hookimpl
def stylekit_degradations() -> dict[str, Callable[..., Degradation]]:
    return {"scratches": Scratches}
