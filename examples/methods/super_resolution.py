"""Super-resolution with pixel shuffle (Shi et al. 2016). Shows an output that is larger than the input."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import Method, Player, hookimpl, turn
from stylekit.images import resize
from stylekit.method import Batch, Terms, linear_decay


class SuperResolution(Method):
    """Learns from any images: each is downsampled, and a network that works at low resolution upsamples it again.

    Args:
        scale: factor on height and width
        width: channels of the network
        blocks: number of hidden convolutions
        lr: learning rate
    """

    batch_keys = ("content",)
    presets: ClassVar = {"tiny": {"width": 16, "blocks": 2}}

    def __init__(self, scale: int = 4, width: int = 64, blocks: int = 8, lr: float = 1e-3) -> None:
        super().__init__()
        self.scale, self.lr = scale, lr
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1, padding_mode="replicate"), nn.PReLU(width)]
        for _ in range(blocks):
            layers += [nn.Conv2d(width, width, 3, padding=1, padding_mode="replicate"), nn.PReLU(width)]
        last = nn.Conv2d(width, 3 * scale**2, 3, padding=1, padding_mode="replicate")
        self.network = nn.Sequential(*layers, last, nn.PixelShuffle(scale))

    def players(self) -> dict[str, Player]:
        return {"network": Player(self.network, lr=self.lr, schedule=linear_decay, ema=0.99)}

    def forward(self, batch: Batch) -> Tensor:
        sides = [side // self.scale for side in batch["content"].shape[2:]]
        return self.enlarge(resize(batch["content"], (sides[0], sides[1])))

    def enlarge(self, small: Tensor) -> Tensor:
        nearest = F.interpolate(small, scale_factor=self.scale)
        larger: Tensor = nearest + self.network(small)
        return larger

    @turn("network")
    def restore(self, batch: Batch, made: Tensor) -> Terms:
        return {"l1": F.l1_loss(made, batch["content"][..., : made.shape[2], : made.shape[3]])}

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        return self.enlarge(content).clamp(0, 1)

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        target = batch["content"]
        small = F.avg_pool2d(target, self.scale)
        bicubic = resize(small, (target.shape[2], target.shape[3]))
        return {"bicubic": bicubic, "output": self.stylize(small), "target": target}


@hookimpl
def stylekit_methods() -> dict[str, type[Method]]:
    return {"super-resolution": SuperResolution}
