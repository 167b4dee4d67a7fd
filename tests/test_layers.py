"""Layers that several networks share: the narrow convolution against torch's and by hand, conditions and activations."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stylekit import StylekitError
from stylekit.layers import (
    BlurDown,
    NarrowConv2d,
    PlainResidual,
    ProjectedScore,
    SelfAttention,
    activations,
    modulated,
    narrow_conv2d,
    norm_activation,
    with_condition,
)
from tests.facts import raises


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


def test_a_modulated_image_comes_with_its_products() -> None:
    image = torch.rand(2, 3, 4, 5)
    found = modulated(image, torch.tensor([[0.5, -1.0], [2.0, 0.0]]))
    assert found.shape == (2, 9, 4, 5)
    torch.testing.assert_close(found[0], torch.cat([image[0], 0.5 * image[0], -image[0]]))
    torch.testing.assert_close(found[1], torch.cat([image[1], 2 * image[1], 0 * image[1]]))
    torch.testing.assert_close(modulated(image, torch.tensor([[3.0]])), torch.cat([image, 3 * image], 1))


def test_a_condition_brings_its_channels_behind_those_of_the_image() -> None:
    image, mask = torch.rand(2, 3, 4, 5), torch.rand(2, 1, 4, 5)
    joined = with_condition(image, mask)
    assert joined.shape == (2, 4, 4, 5)
    assert torch.equal(joined[:, :3], image)
    assert torch.equal(joined[:, 3:], mask)
    assert with_condition(image, None) is image


def test_a_condition_gets_its_gradient() -> None:
    image, condition = torch.rand(2, 1, 3, 2, 2, requires_grad=True)
    (slope,) = torch.autograd.grad(
        (with_condition(image, condition) * torch.arange(6.0).view(1, 6, 1, 1)).sum(), condition
    )
    assert slope[0, :, 0, 0].tolist() == [3.0, 4.0, 5.0]


def test_activations_are_the_inputs_of_each_convolution_but_the_first() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.ReflectionPad2d(1), nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Conv2d(2, 4, 1), nn.Tanh(), nn.Dropout(0.0),
        nn.Conv2d(4, 1, 1), nn.Sigmoid(),
    )  # fmt: skip
    x = torch.rand(2, 3, 5, 6)
    first, second = activations(network, x)
    assert torch.equal(first, network[:3](x))
    assert torch.equal(second, network[:6](x))
    assert torch.equal(network[6:](second), network(x))


def test_a_network_of_one_convolution_has_no_activations() -> None:
    assert activations(nn.Sequential(nn.Conv2d(3, 1, 1)), torch.rand(1, 3, 2, 2)) == []
    assert activations(nn.Sequential(nn.ReLU()), torch.rand(1, 3, 2, 2)) == []


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
def test_activations_stay_as_they_were_when_later_layers_work_in_place(norm: str) -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), *norm_activation("leaky_relu", norm, 4), nn.Conv2d(4, 4, 3)]
    network = nn.Sequential(*layers, *norm_activation("leaky_relu", norm, 4), nn.Conv2d(4, 1, 1)).eval()
    x = torch.rand(1, 3, 9, 9)
    before = x.clone()
    for found, depth in zip(activations(network, x), (3, 6), strict=True):
        assert torch.equal(found, network[:depth](x.clone()))
    assert torch.equal(x, before)


@pytest.mark.parametrize("spectral", [False, True])
def test_attention_matches_its_formula(spectral: bool) -> None:
    torch.manual_seed(0)
    layer, x = SelfAttention(16, spectral).eval(), torch.randn(2, 16, 6, 8)
    torch.testing.assert_close(layer(x), x)  # it starts closed
    with torch.no_grad():
        layer.share.fill_(0.7)
    query, pooled = layer.query(x).flatten(2), F.max_pool2d(x, 2)
    key, value = layer.key(pooled).flatten(2), layer.value(pooled).flatten(2)
    weights = torch.softmax(torch.einsum("ncq,nck->nqk", query, key), 2)
    attended = torch.einsum("nqk,nck->ncq", weights, value).unflatten(2, (6, 8))
    torch.testing.assert_close(layer(x), x + 0.7 * layer.back(attended))


def test_attention_accepts_a_single_row() -> None:
    assert SelfAttention(8)(torch.randn(1, 8, 1, 5)).shape == (1, 8, 1, 5)


def test_a_projected_score_adds_the_product_with_the_label() -> None:
    torch.manual_seed(0)
    layer, features, labels = ProjectedScore(4, classes=3), torch.randn(2, 4), torch.tensor([2, 0])
    assert layer.embedding is not None
    inner = (layer.embedding.weight[labels] * features).sum(1, keepdim=True) / 2
    torch.testing.assert_close(layer(features, labels), layer.score(features) + inner)
    with raises(StylekitError, "3 classes", "with a condition"):
        layer(features, None)
    with raises(StylekitError, "0 classes", "without a condition"):
        ProjectedScore(4)(features, labels)


def test_a_residual_block_without_norm_starts_as_the_identity() -> None:
    torch.manual_seed(0)
    block, x = PlainResidual(32, depth=4), torch.randn(2, 32, 5, 5)
    torch.testing.assert_close(block(x), x)
    assert block.middle.groups == 2
    assert PlainResidual(24).middle.groups == 1  # 24 channels cannot be divided into groups of 16
    deviation = float(PlainResidual(256, depth=16).first.weight.detach().std())
    assert deviation == pytest.approx(
        (2 / (1 + 0.2**2) / 256) ** 0.5 / 2, rel=0.05
    )  # 16 to the power of -1/4 is a half


def test_a_blur_halves_by_the_weights_of_zhang() -> None:
    """Each value is the mean of 3 x 3 with weights 1, 2, 1; margins are reflected."""
    image = torch.randn(2, 3, 7, 8, dtype=torch.float64)
    halved = BlurDown(3).double()(image)
    assert halved.shape == (2, 3, 4, 4)
    weights = torch.tensor([0.25, 0.5, 0.25], dtype=torch.float64)
    torch.testing.assert_close(halved[:, :, 1, 2], image[:, :, 1:4, 3:6] @ weights @ weights)
    corner = image[:, :, [1, 0, 1]][..., [1, 0, 1]]
    torch.testing.assert_close(halved[:, :, 0, 0], corner @ weights @ weights)
