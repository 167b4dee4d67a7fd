"""Consistency: the squared difference of scores by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from stylekit import make, testing
from stylekit_plugins.regularizers.consistency import Consistency


class Doubled(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return 2 * image


def mean(image: Tensor) -> Tensor:
    return image.mean((1, 2, 3))


def test_it_is_the_squared_difference_of_the_scores() -> None:
    real, fake = torch.rand(2, 4, 3, 8, 8)
    one = make("regularizer", "consistency", weight=3.0, augmentation=Doubled)
    both = make("regularizer", "consistency", weight=3.0, augmentation=Doubled, both=True)
    on_real, on_fake = (3 * float(mean(image).square().mean()) for image in (real, fake))
    assert float(one(mean, real, fake)) == pytest.approx(on_real)
    assert float(both(mean, real, fake)) == pytest.approx(on_real + on_fake)


def test_conformance() -> None:
    testing.check("regularizer", Consistency)
