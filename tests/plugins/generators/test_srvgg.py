"""SRVGG: its published size, and the image that it starts from."""

from __future__ import annotations

import pytest
import torch

from stylekit import StylekitError, make, testing
from stylekit_plugins.generators.srvgg import SRVGG
from tests.facts import raises


@pytest.mark.parametrize(("convs", "parameters"), [(16, 621_424), (32, 1_213_296)])
def test_the_numbers_of_parameters_are_those_of_the_published_files(convs: int, parameters: int) -> None:
    with torch.device("meta"):
        network = SRVGG(64, convs, scale=4)
    assert sum(each.numel() for each in network.parameters()) == parameters


def test_a_network_that_adds_nothing_repeats_pixels() -> None:
    network = SRVGG(4, 1, scale=3).eval()
    torch.nn.init.zeros_(network.body[-1].weight)
    torch.nn.init.zeros_(network.body[-1].bias)
    image = torch.rand(2, 3, 5, 7)
    out = network(image)
    assert out.shape == (2, 3, 15, 21)
    for down in range(3):
        for across in range(3):
            assert torch.equal(out[..., down::3, across::3], image)


def test_each_pixel_of_a_square_has_channels_of_its_own() -> None:
    """Shi et al. 2016, equation 4: channel c * r^2 + r * y + x is added to the pixel (y, x) of each square."""
    network = SRVGG(2, 1, scale=2)
    torch.nn.init.zeros_(network.body[-1].weight)
    with torch.no_grad():
        network.body[-1].bias.copy_(torch.arange(12.0))
    out = network(torch.zeros(1, 3, 2, 2))
    assert out[0, :, :2, :2].tolist() == [[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8, 9], [10, 11]]]


def test_values_are_clipped_only_outside_of_training() -> None:
    network = SRVGG(2, 1)
    torch.nn.init.constant_(network.body[-1].bias, 2.0)
    image = torch.rand(1, 3, 4, 4)
    assert float(network(image).detach().max()) > 1
    assert float(network.eval()(image).detach().max()) == 1


def test_wrong_options_are_named() -> None:
    with raises(StylekitError, "scale", "srvgg", 9, "from 1 to 8"):
        make("generator", "srvgg", scale=9)


@pytest.mark.parametrize("scale", [1, 2])
def test_conformance(scale: int) -> None:
    testing.check("generator", lambda: SRVGG(8, 2, scale))
