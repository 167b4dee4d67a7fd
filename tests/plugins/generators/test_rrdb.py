"""RRDBNet: its published size, its residuals, and files of three programs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from stylekit import StylekitError, make, testing
from stylekit.weights.tensors import read_tensors
from stylekit_plugins.generators.rrdb import RRDBNet
from tests.facts import raises


@pytest.mark.parametrize(
    ("scale", "blocks", "parameters"), [(4, 23, 16_697_987), (2, 23, 16_703_171), (4, 6, 4_467_779)]
)
def test_the_numbers_of_parameters_are_those_of_the_published_files(scale: int, blocks: int, parameters: int) -> None:
    with torch.device("meta"):
        network = RRDBNet(blocks=blocks, scale=scale)
    assert sum(each.numel() for each in network.parameters()) == parameters


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_any_size_is_multiplied(scale: int) -> None:
    network = RRDBNet(4, 1, 2, scale).eval()
    out = network(torch.rand(2, 3, 5, 7))
    assert out.shape == (2, 3, 5 * scale, 7 * scale)
    assert out.min() >= 0
    assert out.max() <= 1


def test_a_block_is_the_sum_of_its_equation() -> None:
    """ESRGAN, figure 4, with a residual factor of 0.2, in float64."""
    block = RRDBNet(3, 1, 2).double().body[0]
    x = torch.rand(1, 3, 6, 6, dtype=torch.float64)
    expected = x
    for dense in (block.rdb1, block.rdb2, block.rdb3):
        seen = [expected]
        for number in range(1, 6):
            layer = dict(dense.named_children())[f"conv{number}"]
            found = F.conv2d(torch.cat(seen, 1), layer.weight, layer.bias, padding=1)
            seen.append(torch.where(found > 0, found, 0.2 * found))
        expected = expected + 0.2 * found
    torch.testing.assert_close(block(x), x + 0.2 * expected)


def test_values_are_clipped_only_outside_of_training() -> None:
    network = RRDBNet(2, 1, 2, 4)
    torch.nn.init.constant_(network.conv_last.bias, 2.0)
    image = torch.rand(1, 3, 4, 4)
    assert float(network(image).detach().max()) > 1
    assert float(network.eval()(image).detach().max()) == 1


def test_wrong_options_are_named() -> None:
    with raises(StylekitError, "scale", "rrdb", 3, "1, 2 or 4"):
        make("generator", "rrdb", scale=3)


@pytest.mark.parametrize("scale", [1, 2])
def test_conformance(scale: int) -> None:
    testing.check("generator", lambda: RRDBNet(4, 1, 2, scale))


def test_other_weights_are_not_recognised(fixtures: Path) -> None:
    files = ("srvgg_x4", "nafnet")
    for state in (torch.load(fixtures / f"restore/{name}.pth", weights_only=True)["params"] for name in files):
        assert RRDBNet.recognise(state) is None
    assert RRDBNet.recognise(read_tensors(fixtures / "cyclegan/networks.safetensors")[0]) is None
