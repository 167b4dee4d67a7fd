"""Smaller pictures: the bicubic filter of MATLAB, by its formula in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stylekit import StylekitError, make, testing
from stylekit_plugins.degradations.downscale import Downscale
from tests.facts import raises


def cubic(x: np.ndarray) -> np.ndarray:
    """Keys 1981, equation 15, with a = -0.5."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def weights(length: int, scale: int) -> np.ndarray:
    """The weights ``(length / scale, length)`` of one axis. A picture goes on beyond its border in reverse order."""
    rows = np.zeros((length // scale, length))
    for row in range(length // scale):
        middle = (row + 0.5) * scale - 0.5
        taken = np.arange(int(middle - 2 * scale) - 1, int(middle + 2 * scale) + 3)
        values = cubic((taken - middle) / scale)
        for at, value in zip(taken, values / values.sum(), strict=True):
            while not 0 <= at < length:
                at = -1 - at if at < 0 else 2 * length - 1 - at
            rows[row, at] += value
    return rows


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(24, 36), (4, 5), (29, 50)])
def test_the_values_are_those_of_the_formula(scale: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    image = torch.rand(2, 3, *size, dtype=torch.float64)
    height, width = (side // scale * scale for side in size)
    down, across = weights(height, scale), weights(width, scale)
    expected = (down @ image[..., :height, :width].numpy() @ across.T).clip(0, 1)
    out = make("degradation", "downscale", scale=scale)(image)
    assert out.shape == (2, 3, size[0] // scale, size[1] // scale)
    np.testing.assert_allclose(out.numpy(), expected, atol=1e-9)


def test_an_image_that_is_too_small_or_a_wrong_scale_is_named() -> None:
    with raises(StylekitError, "5x3", 4):
        make("degradation", "downscale", scale=4)(torch.rand(1, 3, 3, 5))
    with raises(StylekitError, "scale", 0, "from 1 to 16"):
        make("degradation", "downscale", scale=0)


def test_conformance() -> None:
    testing.check("degradation", Downscale)
