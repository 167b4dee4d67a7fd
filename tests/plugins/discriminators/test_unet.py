"""The U-Net discriminator: a score for every pixel, of local and of global reach."""

from __future__ import annotations

from typing import Any

import torch

from stylekit import make, testing
from stylekit_plugins.discriminators.unet import UNetDiscriminator


def test_every_pixel_has_a_score_at_any_size() -> None:
    network: Any = make("discriminator", "unet", downs=2, width=4)
    assert network(torch.rand(2, 3, 37, 50)).shape == (2, 1, 37, 50)
    six: Any = make("discriminator", "unet", downs=2, width=4, channels=6)
    assert six(torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)).shape == (1, 1, 16, 16)


def test_a_score_depends_on_pixels_near_and_far() -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 3, 32, 32).requires_grad_()
    network = UNetDiscriminator(downs=3, width=4)
    (gradient,) = torch.autograd.grad(network(image)[0, 0, 4, 4], image)
    reach = gradient.abs().sum((0, 1))
    assert reach[4, 4] > 10 * reach[20, 20] > 0


def test_conformance() -> None:
    testing.check("discriminator", UNetDiscriminator)
