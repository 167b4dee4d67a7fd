"""A method in one file, for ``--plugin ./one_file_style.py``: the content's brightness in the style's mean colours."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stylekit import Method, Player, hookimpl, turn
from stylekit.method import Batch, Terms


class Duotone(Method):
    """Shows dark in one colour and light in another, both learned.

    Args:
        lr: learning rate
    """

    def __init__(self, lr: float = 0.1) -> None:
        super().__init__()
        self.ends = nn.Parameter(torch.tensor([[-0.3] * 3, [0.3] * 3]))
        self.lr = lr

    def players(self) -> dict[str, Player]:
        return {"inks": Player(self.ends, lr=self.lr)}

    def forward(self, batch: Batch) -> Tensor:
        return self.stylize(batch["content"])

    @turn("inks")
    def print(self, batch: Batch, made: Tensor) -> Terms:
        mine, wanted = (image.flatten(2).sort().values for image in (made, batch["style"]))
        return {"palette": (mine - wanted).abs().mean()}

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        dark, light = self.ends.sigmoid().view(2, 3, 1, 1)
        return dark + (light - dark) * content.mean(1, keepdim=True)


@hookimpl
def stylekit_methods() -> dict[str, type[Duotone]]:
    return {"duotone": Duotone}
