"""The shared losses by hand, in float64, and against derivatives by differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stylekit.losses import gram_error, total_variation


def doubles(*values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_the_error_of_gram_matrices_is_relative_to_the_wanted_ones() -> None:
    gram = doubles([[1, 2], [2, 5]], [[0, 0], [0, 0]], [[6, 0], [0, 8]])
    wanted = doubles([[1, 0], [0, 3]], [[7, 1], [1, 2]], [[3, 0], [0, 4]])
    # (4 + 4 + 4) / (1 + 9); all that there is; twice what is wanted
    assert gram_error(gram, wanted).tolist() == pytest.approx([1.2, 1, 1], rel=1e-12)
    assert gram_error(gram, wanted[:1]).tolist() == pytest.approx([1.2, 1, 5], rel=1e-12)  # 25 + 25 of 10
    assert torch.equal(gram_error(gram, gram), torch.zeros(3).double())


def test_the_error_is_the_same_for_features_of_any_scale() -> None:
    gram, wanted = torch.rand(2, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(gram_error(1e-3 * gram, 1e-3 * wanted), gram_error(gram, wanted), rtol=1e-12, atol=0)


def test_what_is_wanted_may_be_nothing() -> None:
    nothing = torch.zeros(1, 2, 2).double()
    assert gram_error(nothing, nothing).item() == 0
    assert gram_error(nothing + 1e-7, nothing).item() == pytest.approx(4e-14 / 1e-12)


@pytest.mark.parametrize(
    ("power", "below", "beside"),
    [
        (1.0, [(1 + 0.5 + 0) / 3, 0], [(0.5 + 0.25 + 1 + 0.25) / 4, (4 + 0 + 4 + 0) / 4]),
        (2.0, [(1 + 0.25 + 0) / 3, 0], [(0.25 + 0.0625 + 1 + 0.0625) / 4, (16 + 0 + 16 + 0) / 4]),
    ],
)
def test_the_total_variation_is_that_of_neighbours(power: float, below: list[float], beside: list[float]) -> None:
    image = doubles([[[0, 0.5, 0.25], [1, 0, 0.25]]], [[[5, 1, 1], [5, 1, 1]]])
    wanted = [one + other for one, other in zip(below, beside, strict=True)]
    assert total_variation(image, power).tolist() == pytest.approx(wanted, rel=1e-12)
    of_two_channels = torch.cat([image, torch.zeros_like(image)], 1)  # of which one is flat
    assert total_variation(of_two_channels, power).tolist() == pytest.approx([each / 2 for each in wanted], rel=1e-12)


def test_squares_are_the_default() -> None:
    assert total_variation(doubles([[[0, 3]]])).item() == 9


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_a_side_of_one_pixel_has_no_variation(power: float) -> None:
    line = doubles([[[0, 1, 3]]])
    wanted = (1 + 2**power) / 2
    assert total_variation(line, power).item() == wanted
    assert total_variation(line.mT, power).item() == wanted
    assert total_variation(line[..., :1], power).tolist() == [0]


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_flat_ground_has_no_slope(power: float) -> None:
    """An absolute value has a kink there: its slope must not be NaN."""
    image = torch.full((1, 3, 4, 5), 0.7, requires_grad=True)
    total_variation(image, power).sum().backward()
    assert image.grad is not None
    assert torch.equal(image.grad, torch.zeros_like(image))


def test_slopes_are_those_of_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 4, 5, dtype=torch.float64, generator=generator).requires_grad_(True)
    for power in (1.0, 2.0):
        assert torch.autograd.gradcheck(lambda x, power=power: total_variation(x, power), image)
    gram, wanted = torch.rand(2, 2, 3, 3, dtype=torch.float64, generator=generator)
    assert torch.autograd.gradcheck(gram_error, (gram.requires_grad_(True), wanted))
