"""vae-gan: its divergence, what each player learns from, and codes of any size."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch.distributions import Normal, kl_divergence

from stylekit import StylekitError, testing
from stylekit.training.rehearsal import rehearse
from stylekit_plugins.methods.vae_gan import VAEGAN, divergence
from tests.facts import raises

TINY: dict[str, Any] = {
    "width": 4,
    "latent": 2,
    "side": 32,
    "discriminator": {"name": "patch-sn", "layers": 2, "width": 4},
}


def test_the_divergence_is_that_of_normal_distributions() -> None:
    mean, log_variance = torch.randn(2, 3, 4, 4).double(), torch.randn(2, 3, 4, 4).double()
    exact = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(torch.zeros_like(mean), 1.0))
    torch.testing.assert_close(divergence(mean, log_variance), exact.mean())
    assert divergence(torch.zeros(2), torch.zeros(2)) == 0


def test_three_players_share_a_graph() -> None:
    torch.manual_seed(0)
    method = VAEGAN(**TINY)
    assert set(rehearse(method, {"content": torch.rand(2, 3, 32, 32)})) == {"encode", "decode", "discriminate"}


def test_images_of_any_size_are_reconstructed_and_codes_drawn() -> None:
    method = VAEGAN(**TINY).eval()
    image = torch.rand(1, 3, 30, 45)
    assert method.stylize(image).shape == image.shape
    assert torch.equal(method.stylize(image), method.stylize(image))  # from the means: nothing is random
    assert method.codes(3).shape == (3, 2, 4, 4)
    assert method.sample(3).shape == (3, 3, 32, 32)
    assert method.sample_from(torch.randn(1, 2, 2, 5)).shape == (1, 3, 16, 40)


def test_wrong_options_are_refused() -> None:
    with raises(StylekitError, "'side'", 30, 8):
        VAEGAN(**{**TINY, "side": 30})
    with raises(StylekitError, "R3", "features", "--set discriminator="):
        VAEGAN(**{**TINY, "discriminator": {"name": "r3", "layers": 2, "width": 4}})


def test_conformance() -> None:
    testing.check("method", partial(VAEGAN, **TINY))
