"""What the tests of evaluations share: inputs of plain colours, whose metrics are known, and subjects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stylekit.evaluation import Inputs, Pictures

Change = Callable[[Tensor, Tensor | None], Tensor]


class Plain(Pictures):
    """Images of one value each, all of the same size."""

    def __init__(self, values: Mapping[str, float], height: int = 8, width: int = 12) -> None:
        super().__init__(list(values), "plain colours")
        self._values, self._size = values, (height, width)

    def load(self, name: str) -> Tensor:
        return torch.full((1, 3, *self._size), self._values[name])


class Changed:
    """A subject whose output is a function of the content and the style."""

    def __init__(self, name: str, inputs: Inputs, change: Change) -> None:
        self.name, self._inputs, self._change = name, inputs, change
        self.facts: dict[str, Any] = {"kind": "model"}

    def output(self, content: str, style: str | None) -> Tensor:
        styles = self._inputs.applied
        return self._change(self._inputs.contents[content], styles[style] if styles and style else None)


class Difference(nn.Module):
    """The mean difference of the output from its content, from which intervals follow by hand."""

    against = "content"
    higher = False

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        return (output - reference).mean((1, 2, 3))


@pytest.fixture
def inputs() -> Inputs:
    return Inputs(Plain({"a.png": 0.2, "b.png": 0.4}), Plain({"x.png": 0.6, "y.png": 0.8, "z.png": 1.0}))
