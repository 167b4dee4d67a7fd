"""The degradations of Real-ESRGAN: the settings of its code, and pictures of the right size."""

from __future__ import annotations

import pytest
import torch

from stylekit import StylekitError, make, testing
from stylekit.seeding import seeded
from stylekit_plugins.degradations import mixed
from stylekit_plugins.degradations.mixed import Mixed
from tests.facts import raises


def test_both_rounds_have_the_settings_of_the_papers_code() -> None:
    """Those of options/train_realesrgan_x4plus.yml in its repository."""
    part = Mixed()
    blurs, gaussian, poisson = list(part.blurs), list(part.gaussian), list(part.poisson)
    assert [each.sigma for each in blurs] == [(0.2, 3.0), (0.2, 1.5)]
    assert [each.sigma for each in gaussian] == [(1, 30), (1, 25)]
    assert [each.strength for each in poisson] == [(0.05, 3.0), (0.05, 2.5)]
    assert [each.grey for each in (*gaussian, *poisson)] == [0.4] * 4
    assert part.jpeg.quality == (30, 95)
    assert dict(zip(blurs[0].kinds, blurs[0].weights, strict=True)) == pytest.approx(
        {"sinc": 0.1, "isotropic": 0.405, "anisotropic": 0.225, "generalized": 0.135, "plateau": 0.135}
    )
    assert [each["resize"] for each in mixed.ROUNDS] == [(0.2, 0.7), (0.3, 0.4)]
    assert [each["range"] for each in mixed.ROUNDS] == [(0.15, 1.5), (0.3, 1.2)]


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_pictures_get_their_size_and_each_its_own_damage(scale: int) -> None:
    image = torch.rand(1, 3, 37, 50).expand(3, -1, -1, -1)
    with seeded("item", 0, 1):
        out = make("degradation", "mixed", scale=scale)(image)
    with seeded("item", 0, 1):
        again = make("degradation", "mixed", scale=scale)(image)
    assert out.shape == (3, 3, 37 // scale, 50 // scale)
    assert torch.equal(out, again)
    assert not torch.allclose(out[0], out[1], atol=0.02)
    assert 0 <= float(out.min()) <= float(out.max()) <= 1


def test_a_wrong_scale_is_named() -> None:
    with raises(StylekitError, "scale", "mixed", 0):
        make("degradation", "mixed", scale=0)


def test_conformance() -> None:
    testing.check("degradation", Mixed)
