"""Instance noise: its standard deviation during training."""

from __future__ import annotations

import pytest
import torch

from stylekit import make, testing
from stylekit_plugins.augmentations.noise import Noise


@pytest.mark.parametrize(("progress", "std"), [(0.0, 0.2), (0.25, 0.1), (0.5, 0.0), (0.9, 0.0)])
def test_the_noise_falls_linearly_to_zero(progress: float, std: float) -> None:
    torch.manual_seed(0)
    noise = make("augmentation", "noise", std=0.2, until=0.5)
    noise.progress = progress
    image = torch.rand(8, 3, 64, 64)
    assert float((noise(image) - image).std()) == pytest.approx(std, rel=0.02, abs=1e-6)


def test_noise_that_ends_at_once_changes_nothing() -> None:
    image = torch.rand(1, 3, 4, 4)
    assert torch.equal(make("augmentation", "noise", until=0.0)(image), image)


def test_conformance() -> None:
    testing.check("augmentation", Noise)
