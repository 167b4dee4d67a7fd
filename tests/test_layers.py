"""Layers that several networks share: the narrow convolution against torch's and by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from stylekit.layers import NarrowConv2d, narrow_conv2d


@pytest.mark.parametrize("side", [1, 2, 3, 7])
@pytest.mark.parametrize("size", [(7, 7), (9, 12), (16, 7)])
@pytest.mark.parametrize("channels", [(1, 1), (5, 3)])
def test_the_narrow_convolution_and_its_derivatives_match_torchs(
    channels: tuple[int, int], size: tuple[int, int], side: int
) -> None:
    torch.manual_seed(0)
    before, after = channels
    x = torch.randn(2, before, *size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(after, before, side, side, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(after, dtype=torch.float64, requires_grad=True)
    for given in (None, bias):
        ours, torchs = narrow_conv2d(x, weight, given), F.conv2d(x, weight, given)
        torch.testing.assert_close(ours, torchs, rtol=0, atol=1e-12)
    ours, torchs = (
        torch.autograd.grad(out.sin().sum(), (x, weight, bias))
        for out in (narrow_conv2d(x, weight, bias), F.conv2d(x, weight, bias))
    )
    torch.testing.assert_close(ours, torchs, rtol=0, atol=1e-11)


def test_a_convolution_by_hand() -> None:
    x = torch.arange(9.0).view(1, 1, 3, 3)
    weight = torch.tensor([[[[1.0, 0.0], [0.0, -10.0]]], [[[0.0, 2.0], [0.0, 0.0]]]])
    out = narrow_conv2d(x, weight, torch.tensor([0.0, 100.0]))
    assert out.tolist() == [[[[-40.0, -49.0], [-67.0, -76.0]], [[102.0, 104.0], [108.0, 110.0]]]]


def test_every_memory_layout_gives_the_same_result() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(2, 8, 9, 6), torch.randn(3, 8, 3, 3)
    last = narrow_conv2d(x.contiguous(memory_format=torch.channels_last), weight)
    torch.testing.assert_close(last, F.conv2d(x, weight))
    # A view, like the filters that are rotated for the derivative.
    turned = torch.randn(8, 3, 3, 3).flip(2, 3).transpose(0, 1)
    torch.testing.assert_close(narrow_conv2d(x, turned), F.conv2d(x, turned))


def test_the_layer_applies_the_function_with_its_weights() -> None:
    torch.manual_seed(0)
    layer, x = NarrowConv2d(4, 2, 3), torch.randn(1, 4, 5, 8)
    torch.testing.assert_close(layer(x), F.conv2d(x, layer.weight, layer.bias))
    assert torch.equal(layer(x), narrow_conv2d(x, layer.weight, layer.bias))
