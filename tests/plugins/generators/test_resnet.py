"""The residual generator: its published size, its layers, and what it promises of images."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from stylekit import StylekitError, make
from stylekit.layers import NarrowConv2d
from stylekit.registry import lookup
from stylekit.registry.loading import Plugin
from stylekit_plugins.generators.resnet import ResBlock, ResNet


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def by_hand(blocks: int, width: int) -> int:
    """Weights and biases, layer by layer: 7x7, two 3x3 down, blocks of two 3x3, two 3x3 up, 7x7."""
    ends = (3 * 49 + 1) * width + (width * 49 + 1) * 3
    down = (width * 9 + 1) * 2 * width + (2 * width * 9 + 1) * 4 * width
    up = (4 * width * 9 + 1) * 2 * width + (2 * width * 9 + 1) * width
    return ends + down + up + blocks * 2 * (4 * width * 9 + 1) * 4 * width


@pytest.mark.parametrize(("blocks", "millions"), [(9, 11.378), (6, 7.838)])
def test_has_as_many_parameters_as_published(blocks: int, millions: float) -> None:
    with torch.device("meta"):
        network = ResNet(blocks)
    assert round(count(network) / 1e6, 3) == millions
    assert count(network) == by_hand(blocks, 64)


def test_resize_convolution_costs_as_many_parameters_as_the_transposed_one() -> None:
    assert count(ResNet(2, 8, upsample="resize")) == count(ResNet(2, 8)) == by_hand(2, 8)


def macs(network: nn.Module, side: int) -> int:
    """Multiplications with additions for an image of that side."""
    with torch.no_grad(), FlopCounterMode(display=False) as flops:
        network(torch.rand(1, 3, side, side))
    return flops.get_total_flops() // 2


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_separable_convolutions_have_the_weights_and_operations_of_the_formula(
    norm: Literal["instance", "batch"],
) -> None:
    """In each of the two layers of a block, 9 C + C^2 weights and as many operations for each position, not 9 C^2; with
    instance norms C more biases, and with batch norms C more scales and shifts each."""
    blocks, width, side = 3, 8, 32
    plain, separable = (ResNet(blocks, width, norm, separable=each) for each in (False, True))
    channels, layers = 4 * width, 2 * blocks
    fewer = layers * (9 * channels**2 - (9 * channels + channels**2))
    assert count(plain) - count(separable) == fewer - layers * channels * (1 if norm == "instance" else 2)
    assert macs(plain, side) - macs(separable, side) == fewer * (side // 4) ** 2


def test_separable_blocks_convolve_each_channel_and_then_mix_them() -> None:
    block = ResBlock(4, "none", 0.0, separable=True).double()
    x = torch.randn(1, 4, 6, 5, dtype=torch.float64)
    first, second = (block.conv_block[number] for number in (1, 5))

    def layer(features: Tensor, depthwise: nn.Conv2d, pointwise: nn.Conv2d) -> Tensor:
        padded = nn.functional.pad(features, (1, 1, 1, 1), mode="reflect")
        alone = [nn.functional.conv2d(padded[:, [n]], depthwise.weight[[n]]) for n in range(4)]
        return torch.einsum("oc,nchw->nohw", pointwise.weight[:, :, 0, 0], torch.cat(alone, 1))

    hidden = layer(x, first[0], first[2]).relu()
    torch.testing.assert_close(block(x), x + layer(hidden, second[0], second[2]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("upsample", ["transpose", "resize"])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 5), (8, 8), (9, 64), (33, 34), (65, 130)])
def test_output_has_the_size_of_the_input_and_lies_between_0_and_1(
    size: tuple[int, int], upsample: Literal["transpose", "resize"]
) -> None:
    torch.manual_seed(0)
    image = torch.rand(2, 3, *size)
    out = ResNet(blocks=1, width=4, upsample=upsample)(image)
    assert out.shape == image.shape
    assert out.min() >= 0
    assert out.max() <= 1


def test_sizes_that_fit_the_stride_are_not_padded() -> None:
    """The cropped output of a larger picture differs, so padding would show."""
    network = ResNet(blocks=1, width=4).eval()
    image = torch.rand(1, 3, 16, 24)
    assert torch.equal(network(image), (network.model(image * 2 - 1) + 1) / 2)


def test_extreme_weights_still_give_an_image() -> None:
    network = ResNet(blocks=1, width=4)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1e4)
    out = network(torch.rand(1, 3, 16, 16))
    assert torch.isfinite(out).all()
    assert out.min() >= 0
    assert out.max() <= 1


def test_convolutions_start_normal_with_deviation_002_and_biases_at_zero() -> None:
    torch.manual_seed(0)
    network = ResNet(blocks=2, width=32)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(convolutions) == 1 + 2 + 2 * 2 + 2 + 1
    for layer in convolutions:
        error = 4 / layer.weight.numel() ** 0.5  # four standard errors, in units of the deviation
        assert abs(layer.weight.mean().item()) < 0.02 * error
        assert abs(layer.weight.std().item() / 0.02 - 1) < error
        assert layer.bias is not None
        assert not layer.bias.any()


def test_batch_norm_scales_start_around_one() -> None:
    torch.manual_seed(0)
    network = ResNet(blocks=9, width=16, norm="batch")
    scales = torch.cat([m.weight.detach() for m in network.modules() if isinstance(m, nn.BatchNorm2d)])
    assert scales.mean().item() == pytest.approx(1, abs=0.003)
    assert scales.std().item() == pytest.approx(0.02, rel=0.15)


def test_instance_norm_needs_biases_and_the_other_norms_do_without() -> None:
    def biases(network: nn.Module) -> int:
        return sum("bias" in name for name, _ in network.named_parameters())

    assert biases(ResNet(blocks=1, width=4)) == 8
    assert biases(ResNet(blocks=1, width=4, norm="none")) == 1


@pytest.mark.parametrize(("upsample", "separable"), [("transpose", False), ("resize", False), ("resize", True)])
def test_only_biases_that_a_norm_takes_out_again_do_not_learn(
    upsample: Literal["transpose", "resize"], separable: bool
) -> None:
    network = ResNet(blocks=1, width=4, upsample=upsample, separable=separable).double()
    image = torch.rand(1, 3, 16, 16, dtype=torch.float64)
    before = network(image)
    frozen = [name for name, parameter in network.named_parameters() if not parameter.requires_grad]
    assert len(frozen) == 1 + 2 + 2 * (1 + separable) + 2
    with torch.no_grad():
        for name in frozen:
            network.get_parameter(name).normal_()
    assert torch.allclose(network(image), before, atol=1e-5)
    assert all(parameter.requires_grad for parameter in ResNet(blocks=1, width=4, norm="batch").parameters())


def flat_output(upsample: Literal["transpose", "resize"]) -> Tensor:
    """The inner part of the picture for a constant input; without norms, which would stretch rounding errors."""
    torch.manual_seed(1)
    network = ResNet(blocks=1, width=8, norm="none", upsample=upsample).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.1)
        out: Tensor = network(torch.full((1, 3, 64, 64), 0.7, dtype=torch.float64))
    return out[..., 24:40, 24:40]


def nyquist(image: Tensor) -> float:
    """The energy of the patterns that repeat every two pixels, along rows, columns or both."""
    rows = torch.tensor([1.0, -1.0], dtype=image.dtype).repeat(image.shape[-1] // 2)
    flat = torch.ones_like(rows)
    waves = [torch.outer(a, b) for a, b in ((rows, flat), (flat, rows), (rows, rows))]
    return sum(float((image * wave).mean((-2, -1)).square().sum()) for wave in waves)


def test_transposed_convolution_leaves_a_checkerboard_and_resize_convolution_none() -> None:
    assert nyquist(flat_output("transpose")) > 1e-6
    assert nyquist(flat_output("resize")) < 1e-24
    assert flat_output("resize").std((-2, -1)).max() < 1e-12


def test_block_adds_to_its_input() -> None:
    block = ResBlock(4, "instance", 0.0)
    x = torch.randn(1, 4, 6, 6)
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(block(x), x)


def test_dropout_acts_in_training_only() -> None:
    network, image = ResNet(blocks=1, width=4, dropout=0.5), torch.rand(1, 3, 16, 16)
    assert not torch.equal(network(image), network(image))
    network.eval()
    assert torch.equal(network(image), network(image))


def test_gradients_are_right_in_double_precision() -> None:
    torch.manual_seed(0)
    network = ResNet(blocks=1, width=2).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.3)
    image = torch.rand(1, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(network, image, fast_mode=True)


def test_is_a_plain_module_that_learns_without_the_plugin_system(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> list[Plugin]:
        raise AssertionError("the plugin system was asked")

    monkeypatch.setattr(lookup, "visible_plugins", refuse)
    torch.manual_seed(0)
    network = ResNet(blocks=1, width=4)
    image, target = torch.rand(2, 3, 16, 16), torch.full((2, 3, 16, 16), 0.8)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = (network(image) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_style_is_taken_and_not_used() -> None:
    network, image = ResNet(blocks=1, width=4).eval(), torch.rand(1, 3, 8, 8)
    assert torch.equal(network(image, torch.rand(1, 3, 8, 8)), network(image))


def test_other_channels() -> None:
    assert ResNet(blocks=1, width=4, channels=1)(torch.rand(1, 1, 9, 9)).shape == (1, 1, 9, 9)


def test_wrong_norm_is_refused_by_name() -> None:
    with pytest.raises(StylekitError, match=r"'norm'.*'layer'"):
        make("generator", {"name": "resnet", "norm": "layer"})


def test_the_narrow_convolution_is_the_plain_one() -> None:
    torch.manual_seed(0)
    narrow = NarrowConv2d(5, 3, 7).double()
    image = torch.rand(2, 5, 13, 16, dtype=torch.float64, requires_grad=True)
    plain = torch.nn.functional.conv2d(image, narrow.weight, narrow.bias)
    torch.testing.assert_close(narrow(image), plain, rtol=0, atol=1e-13)
    slopes = [
        torch.autograd.grad(out.sin().sum(), (image, narrow.weight, narrow.bias)) for out in (narrow(image), plain)
    ]
    for mine, expected in zip(*slopes, strict=True):
        torch.testing.assert_close(mine, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("option", "value"), [("blocks", 0), ("width", 0), ("channels", 0), ("dropout", 1.0), ("dropout", -0.1)]
)
def test_options_that_build_no_network_are_refused(option: str, value: float) -> None:
    with pytest.raises(StylekitError, match=rf"The option '{option}' is {value}, but must be at least"):
        ResNet(**{option: value})
