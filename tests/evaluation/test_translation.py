"""Identity and cycle errors of a translator whose answers are known."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from torch import Tensor

from stylekit import Method
from stylekit.evaluation import Inputs
from stylekit.evaluation.translation import translation
from stylekit.inference.model import Model
from tests.evaluation.conftest import Plain


class Lighter(Method):
    """Adds .2, and on the way back subtracts .15."""

    def stylize(
        self, content: Tensor, style: Any = None, *, direction: Literal["a-to-b", "b-to-a"] = "a-to-b"
    ) -> Tensor:
        return (content + (0.2 if direction == "a-to-b" else -0.15)).clamp(0, 1)


class OneWay(Method):
    def stylize(self, content: Tensor, style: Any = None) -> Tensor:
        return 1 - content


def test_identity_is_the_change_of_the_style_and_cycle_what_the_way_back_misses() -> None:
    inputs = Inputs(Plain({"a": 0.2, "b": 0.4}), Plain({"x": 0.6, "y": 0.9}), mode="translate")
    found = translation(Model(Lighter(), "lighter"), inputs)
    # .9 becomes 1, which is .1 more, in the values of 8 bits.
    assert found == {
        "identity": pytest.approx(255 * (0.2 + 0.1) / 2, abs=0.5),
        "cycle": pytest.approx(255 * 0.05, abs=0.01),
    }
    back = translation(Model(Lighter(), "lighter"), inputs, {"direction": "b-to-a"})
    assert back == {"identity": pytest.approx(255 * 0.15, abs=0.01)}


def test_what_cannot_be_measured_is_left_out() -> None:
    contents = Plain({"a": 0.25})
    assert translation(Model(OneWay(), "one-way"), Inputs(contents, mode="translate")) == {}
    found = translation(Model(OneWay(), "one-way"), Inputs(contents, contents, mode="translate"))
    assert found == {"identity": pytest.approx(255 * 0.5, abs=1)}
