"""Noise: its mean and variance, with and without colours, and for a range of strengths."""

from __future__ import annotations

import pytest
import torch

from stylekit import StylekitError, make, testing
from stylekit_plugins.degradations.noise import GaussianNoise, PoissonNoise
from tests.facts import raises


def flat(value: float, count: int = 4, side: int = 128) -> torch.Tensor:
    return torch.full((count, 3, side, side), value, dtype=torch.float64)


def test_gaussian_noise_has_the_standard_deviation_in_levels_of_255() -> None:
    torch.manual_seed(0)
    noise = make("degradation", "gaussian-noise", sigma=10)(flat(0.5)) - 0.5
    assert float(noise.std() * 255) == pytest.approx(10, rel=0.01)
    assert abs(float(noise.mean() * 255)) < 0.1
    channels = noise.transpose(0, 1).flatten(1)
    assert float(torch.corrcoef(channels).fill_diagonal_(0).abs().max()) < 0.02


def test_a_range_gives_each_image_its_own_standard_deviation() -> None:
    torch.manual_seed(0)
    noise = make("degradation", "gaussian-noise", sigma=(5, 20))(flat(0.5, 40, 64)) - 0.5
    levels = noise.flatten(1).std(1) * 255
    assert float(levels.min()) == pytest.approx(5, abs=1.5)
    assert float(levels.max()) == pytest.approx(20, abs=1.5)
    assert float(levels.mean()) == pytest.approx(12.5, abs=2)


@pytest.mark.parametrize("name", ["gaussian-noise", "poisson-noise"])
def test_grey_noise_is_the_same_in_all_channels_of_that_share_of_images(name: str) -> None:
    torch.manual_seed(0)
    noise = make("degradation", name, grey=0.5)(flat(0.5, 64, 8)) - 0.5
    grey = (noise - noise[:, :1]).abs().amax((1, 2, 3)) < 1e-9
    assert 20 <= int(grey.sum()) <= 44


@pytest.mark.parametrize("value", [0.2, 0.6])
@pytest.mark.parametrize("strength", [0.5, 1.5])
def test_the_variance_of_photons_is_the_value_over_their_number(value: float, strength: float) -> None:
    torch.manual_seed(0)
    out = make("degradation", "poisson-noise", strength=strength)(flat(value))
    photons = 255 / strength**2
    assert float(out.mean()) == pytest.approx(value, rel=0.005)
    assert float(out.var()) == pytest.approx(value / photons, rel=0.02)
    counts = out * photons
    torch.testing.assert_close(counts, counts.round(), rtol=0, atol=1e-6)  # whole numbers of photons


def test_values_stay_in_their_range_and_no_noise_changes_nothing() -> None:
    image = torch.rand(2, 3, 8, 8)
    assert torch.equal(make("degradation", "gaussian-noise", sigma=0)(image), image)
    noisy = make("degradation", "gaussian-noise", sigma=200)(image)
    assert (float(noisy.min()), float(noisy.max())) == (0, 1)


def test_wrong_options_are_named() -> None:
    with raises(StylekitError, "sigma", "gaussian-noise", "-1", "at least 0"):
        make("degradation", "gaussian-noise", sigma=-1)
    with raises(StylekitError, "sigma", "(5.0, 2.0)"):
        make("degradation", "gaussian-noise", sigma=(5, 2))
    with raises(StylekitError, "grey", "from 0 to 1"):
        make("degradation", "poisson-noise", grey=2)


@pytest.mark.parametrize("part", [GaussianNoise, PoissonNoise])
def test_conformance(part: type) -> None:
    testing.check("degradation", part)
