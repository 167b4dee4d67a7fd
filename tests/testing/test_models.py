"""The checks of shipped models: they load, and stylise in each of their styles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from stylekit import Method
from stylekit.inference.model import Model
from stylekit.method import Statistics
from stylekit.testing.kit import Subject
from tests.testing.samples import assert_every_check_finds_a_fault, assert_faults, faults, summary


class Recolour(Method):
    """Knows two colours, and accepts others from style images."""

    style_modules = ()

    def styles(self) -> dict[str, Statistics]:
        return {"dark": {"mean": torch.full((1, 3), 0.1)}, "light": {"mean": torch.full((1, 3), 0.9)}}

    def describe(self, style: Tensor) -> Statistics:
        return {"mean": style.mean((2, 3))}

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        return content.lerp(style["mean"][..., None, None].expand_as(content), 0.5)


class Unseeded(Recolour):
    calls = 0.0

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        self.calls = self.calls + 0.001
        return (content + self.calls) / 2


class Cropped(Recolour):
    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        return content[..., 1:]


class Double(Method):
    scale = 2

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        return content.repeat_interleave(2, -1).repeat_interleave(2, -2)


class Sampler(Method):
    def sample(self, count: int) -> Tensor:
        return torch.rand(count, 3, 8, 8)


class Directions(Method):
    def stylize(
        self, content: Tensor, style: Tensor | None = None, *, direction: Literal["a-to-b", "b-to-a"] = "a-to-b"
    ) -> Tensor:
        return content if direction == "a-to-b" else 1 - content


def subject(method: Callable[[], Method]) -> Subject:
    """A package's function that loads a model."""
    return Subject("model", "mine", lambda device: Model(method(), "mine"))


FAULTS: dict[str, tuple[Any, ...]] = {
    "no model": (lambda device: Recolour(), {"loads": "stylekit.load"}),
    "fails to load": (lambda device: {}["weights"], {"loads": "KeyError: 'weights'"}),
    "differs from call to call": (lambda device: Model(Unseeded(), "mine"), {"stylises": ("stylize", "same", "seed")}),
    "of another size": (lambda device: Model(Cropped(), "mine"), {"stylises": ("'mine'", "(1, 3, 69, 56)", "(1, 3, 69, 57)")}),
}  # fmt: skip


@pytest.mark.parametrize(("load", "expected"), FAULTS.values(), ids=FAULTS)
def test_each_fault_is_reported_in_one_line(load: Callable[..., Any], expected: dict[str, Any]) -> None:
    assert_faults(faults(Subject("model", "mine", load)), expected)


def test_every_check_finds_a_fault() -> None:
    assert_every_check_finds_a_fault(["model"], [FAULTS])


@pytest.mark.parametrize(
    "method",
    [
        Recolour,
        Directions,
        Double,
        Sampler,
    ],
)
def test_a_valid_model_passes(method: Callable[[], Method]) -> None:
    assert faults(subject(method)) == {}


def test_the_report_names_the_method() -> None:
    assert any("method mine" in each for each in summary(subject(Recolour)))
