"""Distillation: a small network imitates a large model for one style. Shows a frozen model, and options of training."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import Method, Player, hookimpl, load, make, turn
from stylekit.inference import Model
from stylekit.method import Batch, Capabilities, Terms, linear_decay


class Distill(Method):
    """A student with few layers that is trained on a teacher's outputs. After training, it does not need the teacher.

    Args:
        width: channels of the student
        lr: learning rate
    """

    batch_keys = ("content",)
    capabilities = Capabilities(thread_safe=True)

    def __init__(self, width: int = 24, lr: float = 2e-3) -> None:
        super().__init__()
        self.lr = lr
        layers: list[nn.Module] = []
        for before, dilation in ((3, 1), (width, 2), (width, 4), (width, 1)):
            conv = nn.Conv2d(before, width, 3, padding=dilation, dilation=dilation, padding_mode="replicate")
            layers += [conv, nn.LeakyReLU(0.2)]
        self.student = nn.Sequential(*layers, nn.Conv2d(width, 3, 1))
        self.teacher: Model | None = None  # not a submodule, so neither trained nor saved

    def prepare(self, teacher: str = "stylekit-any", style: Path | None = None) -> None:
        """Loads the teacher, and processes the style once.

        Args:
            teacher: model to learn from: a run's folder, a model file, or a bundled model
            style: style image; by default a generated painting
        """
        device = next(self.student.parameters()).device
        self.teacher = load(teacher, str(device.type))
        image = make("dataset", "scenes", size=256)[0]["style"][None] if style is None else style
        self.style = self.teacher.style(image)

    def players(self) -> dict[str, Player]:
        return {"student": Player(self.student, lr=self.lr, schedule=linear_decay)}

    def forward(self, batch: Batch) -> Tensor:
        return self.stylize(batch["content"])

    @turn("student")
    def imitate(self, batch: Batch, made: Tensor) -> Terms:
        assert self.teacher is not None
        target = self.teacher.stylize(batch["content"], self.style)
        return {"l1": F.l1_loss(made, target)}

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        return torch.sigmoid(self.student(content * 2 - 1) + 4 * content - 2)


@hookimpl
def stylekit_methods() -> dict[str, type[Method]]:
    return {"distill": Distill}
