"""The smallest method that learns, for the tests of the rehearsal and of the engine."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stylekit import Method, Player, turn
from stylekit.method import Batch, Terms


class Line(Method):
    """One convolution learns to return grey."""

    batch_keys = ("content",)

    def __init__(self, fail_at: int = -1) -> None:
        super().__init__()
        self.value = nn.Conv2d(3, 3, 1)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.fail_at = fail_at

    def players(self) -> dict[str, Player]:
        return {"learner": Player(self.value, optimizer=torch.optim.SGD, lr=0.1)}

    def forward(self, batch: Batch) -> Tensor:
        self.steps += 1  # type: ignore[operator]
        return self.value(batch["content"])

    @turn("learner")
    def fit(self, batch: Batch, made: Tensor) -> Terms:
        bad = float("nan") if int(self.steps) == self.fail_at else 0.0
        return {"square": (made - 0.5).square().mean() + bad}

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        return self.value(content).clamp(0, 1)
