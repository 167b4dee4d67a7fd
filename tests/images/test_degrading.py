"""Degradations one after another, and the numbers that they draw."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stylekit import StylekitError
from stylekit.images import Degradations, drawn, require_range
from tests.facts import raises


class Halved(nn.Module):
    """Half the sides, and half the light."""

    scale = 2

    def forward(self, image: Tensor) -> Tensor:
        return image[..., ::2, ::2] / 2


class Brighter(nn.Module):
    """Adds a number, beyond white."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def forward(self, image: Tensor) -> Tensor:
        return image + self.by


def test_degradations_are_applied_in_their_order_and_their_scales_are_multiplied() -> None:
    image = torch.full((1, 3, 8, 12), 0.8)
    both = Degradations([Halved, partial(Brighter, 0.4), Halved])
    assert both.scale == 4
    out = both(image)
    assert out.shape == (1, 3, 2, 3)
    torch.testing.assert_close(out, torch.full_like(out, 0.4), rtol=0, atol=0.5 / 255)
    assert float(Degradations([partial(Brighter, 0.4)])(image).max()) == 1


def test_the_result_has_the_values_of_a_file_of_8_bits() -> None:
    out = Degradations("gaussian-noise")(torch.rand(1, 3, 8, 8)) * 255
    torch.testing.assert_close(out, out.round(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("parts", ["grey", {"name": "grey"}, Halved, ["grey"], ("grey",)])
def test_a_single_part_may_stand_without_a_list(parts: Any) -> None:
    assert len(Degradations(parts).parts) == 1


def test_no_degradation_leaves_the_picture() -> None:
    image = torch.rand(1, 3, 4, 4).mul(255).round().div(255)
    assert torch.equal(Degradations([])(image), image)


def test_numbers_are_drawn_from_the_range_for_each_image() -> None:
    torch.manual_seed(0)
    image = torch.rand(1000, 3, 1, 1, dtype=torch.float64)
    numbers = drawn((2.0, 6.0), image)
    assert numbers.shape == (1000, 1, 1, 1)
    assert numbers.dtype == torch.float64
    assert (float(numbers.min()), float(numbers.max())) == pytest.approx((2, 6), abs=0.05)
    assert float(numbers.mean()) == pytest.approx(4, abs=0.1)
    assert torch.equal(drawn(3, image), torch.full((1000, 1, 1, 1), 3.0, dtype=torch.float64))


@pytest.mark.parametrize("choice", [-1.0, (-1.0, 2.0), (3.0, 2.0), (0.0, 11.0), (float("nan"), 1.0), float("inf")])
def test_ranges_outside_of_the_limits_are_refused(choice: Any) -> None:
    with raises(StylekitError, "'sigma'", "the part", "from 0 to 10"):
        require_range("the part", 0, 10, sigma=choice)


def test_an_unknown_degradation_is_named() -> None:
    with raises(StylekitError, "degradation 'blurr'", "did you mean 'blur'"):
        Degradations(["blurr"])
