"""NAFNet: a block by the paper's formulas in float64, its number of parameters, and any size."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stylekit import StylekitError, make, testing
from stylekit_plugins.generators.nafnet import Block, ChannelNorm, NAFNet
from tests.facts import raises


def test_each_pixel_is_normalised_over_its_channels() -> None:
    norm = ChannelNorm(4).double()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2, 3, 4]))
        norm.bias.copy_(torch.tensor([0.0, 1, 2, 3]))
    x = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    mean, variance = x.mean(1, keepdim=True), x.var(1, keepdim=True, unbiased=False)
    scale, shift = norm.weight.view(1, 4, 1, 1), norm.bias.view(1, 4, 1, 1)
    torch.testing.assert_close(norm(x), (x - mean) / (variance + 1e-6).sqrt() * scale + shift)


def pointwise(x: Tensor, conv: torch.nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return torch.einsum("dc,nchw->ndhw", conv.weight[:, :, 0, 0], x) + conv.bias.view(1, -1, 1, 1)


def test_a_block_is_that_of_the_paper() -> None:
    """Figure 3c: norm, 1x1, depthwise 3x3, gate, channel attention, 1x1; norm, 1x1, gate, 1x1; both with a learned factor."""
    torch.manual_seed(0)
    block = Block(6).double()
    x = torch.randn(2, 6, 7, 5, dtype=torch.float64)
    assert torch.equal(block(x), x)  # the factors start at 0
    for each in (block.beta, block.gamma):
        torch.nn.init.normal_(each)
    y = pointwise(block.norm1(x), block.expand)
    weight, bias = block.depthwise.weight, block.depthwise.bias
    y = torch.stack([F.conv2d(y[:, k : k + 1], weight[k : k + 1], padding=1)[:, 0] for k in range(12)], 1)
    assert bias is not None
    y = y + bias.view(1, -1, 1, 1)
    y = y[:, :6] * y[:, 6:]
    y = y * pointwise(y.mean((2, 3), keepdim=True), block.attention)
    x2 = x + block.beta * pointwise(y, block.project)
    z = pointwise(block.norm2(x2), block.widen)
    expected = x2 + block.gamma * pointwise(z[:, :6] * z[:, 6:], block.narrow)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize(
    ("blocks", "decoder", "millions"), [((2, 2, 4, 8, 12), 2, 29.16), ((1, 1, 1, 28, 1), 1, 17.11)]
)
def test_the_numbers_of_parameters_are_those_published(blocks: tuple[int, ...], decoder: int, millions: float) -> None:
    """Those of the authors' models of width 32 for denoising (SIDD) and deblurring (GoPro)."""
    with torch.device("meta"):
        network = NAFNet(32, blocks, decoder)
    assert round(sum(each.numel() for each in network.parameters()) / 1e6, 2) == millions


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (17, 31)])
@pytest.mark.parametrize("scale", [1, 3])
def test_any_size_is_restored(size: tuple[int, int], scale: int) -> None:
    with torch.inference_mode():
        out = NAFNet(4, (1, 1, 1), scale=scale)(torch.rand(1, 3, *size))
    assert out.shape == (1, 3, size[0] * scale, size[1] * scale)


def test_wrong_options_are_named() -> None:
    with raises(StylekitError, "nafnet", "blocks", "scale"):
        make("generator", "nafnet", blocks=[])
    with raises(StylekitError, "nafnet", "from 1 to 8", 9):
        make("generator", "nafnet", scale=9)


@pytest.mark.parametrize("scale", [1, 2])
def test_conformance(scale: int) -> None:
    testing.check("generator", lambda: NAFNet(4, (1, 1), scale=scale))
