"""Film grain of the strength in a style's images: a plugin for stylekit with a compiled operation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import Method, Player, hookimpl, turn
from stylekit.method import Batch, Terms
from stylekit_grain.operation import grain

STYLEKIT_API = 1


class Grain(Method):
    """Learns the strength of the grain per colour, so that images are as rough as those of the style.

    Args:
        strength: initial strength, at least 0 and below 1
        seed: random seed of the grain
        lr: learning rate
    """

    def __init__(self, strength: float = 0.3, seed: int = 0, lr: float = 0.02) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.full((3,), strength).atanh())
        self.seed, self.lr = seed, lr

    def players(self) -> dict[str, Player]:
        return {"film": Player(self.level, lr=self.lr)}

    @turn("film")
    def match(self, batch: Batch, made: None) -> Terms:
        grainy = self.stylize(batch["content"])
        return {"roughness": F.l1_loss(_roughness(grainy), _roughness(batch["style"]))}

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        return grain(content, self.level.tanh(), self.seed)


def _roughness(image: Tensor) -> Tensor:
    """The mean absolute difference ``(3,)``, per colour, between the pixels of ``(N, 3, H, W)`` and their local mean."""
    return (image - F.avg_pool2d(image, 3, 1, 1, count_include_pad=False)).abs().mean((0, 2, 3))


@hookimpl
def stylekit_methods() -> dict[str, type[Grain]]:
    return {"grain": Grain}
