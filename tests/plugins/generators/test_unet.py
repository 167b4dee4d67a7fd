"""The U-Net generator: its published size, its skips, and what it promises of images."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from stylekit import StylekitError
from stylekit.layers import resize_conv
from stylekit_plugins.generators.unet import Level, UNet


def by_hand(downs: int, width: int) -> int:
    """Weights and biases of the 4x4 convolutions with instance norm; a step up reads what comes up and what is skipped."""
    widths = [3, width, 2 * width, 4 * width] + [8 * width] * (downs - 3)
    down = sum((before * 16 + 1) * after for before, after in pairwise(widths))
    up = sum(
        ((inner if step == downs else 2 * inner) * 16 + 1) * outer
        for step, (outer, inner) in enumerate(pairwise(widths), 1)
    )
    return down + up


@pytest.mark.parametrize(("downs", "millions"), [(8, 54.41), (7, 41.83)])
def test_has_as_many_parameters_as_published(downs: int, millions: float) -> None:
    with torch.device("meta"):
        network = UNet(downs)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert round(parameters / 1e6, 2) == millions
    assert parameters == by_hand(downs, 64)


@pytest.mark.parametrize("downs", [5, 8])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (32, 32), (33, 64), (65, 130)])
def test_output_has_the_size_of_the_input_and_lies_between_0_and_1(size: tuple[int, int], downs: int) -> None:
    image = torch.rand(2, 3, *size)
    out = UNet(downs, width=2)(image)
    assert out.shape == image.shape
    assert torch.isfinite(out).all()
    assert out.min() >= 0
    assert out.max() <= 1


def test_sizes_that_fit_the_stride_are_not_padded() -> None:
    network = UNet(5, width=2)
    image = torch.rand(1, 3, 32, 64)
    assert torch.equal(network(image), (network.model(image * 2 - 1) + 1) / 2)


def test_innermost_features_are_one_pixel_for_the_least_side() -> None:
    network = UNet(6, width=2)
    shapes: list[torch.Size] = []
    for level in network.modules():
        if isinstance(level, Level):
            level.register_forward_pre_hook(lambda _, inputs: shapes.append(inputs[0].shape[-2:]))
    network(torch.rand(1, 3, network.min_size, network.min_size))
    assert [tuple(shape) for shape in shapes] == [(64, 64), (32, 32), (16, 16), (8, 8), (4, 4), (2, 2)]


def test_a_skip_hands_on_the_input_as_it_is() -> None:
    """An activation in place would hand on a changed one."""
    level = Level(4, 8, None, "instance", "transpose")
    x = torch.randn(1, 4, 8, 8)
    before = x.clone()
    out = level(x)
    assert out.shape == (1, 8, 8, 8)
    assert torch.equal(out[:, :4], before)


def written_out(w: dict[str, Tensor], x: Tensor, prefix: str = "model.model") -> Tensor:
    """The network on [-1, 1], level by level, by the names of the weights alone."""

    def down(x: Tensor, index: int) -> Tensor:
        return F.conv2d(x, w[f"{prefix}.{index}.weight"], w[f"{prefix}.{index}.bias"], stride=2, padding=1)

    def up(x: Tensor, index: int) -> Tensor:
        weight, bias = w[f"{prefix}.{index}.weight"], w[f"{prefix}.{index}.bias"]
        return F.conv_transpose2d(F.relu(x), weight, bias, stride=2, padding=1)

    if f"{prefix}.0.weight" in w:
        return torch.tanh(up(written_out(w, down(x, 0), f"{prefix}.1.model"), 3))
    inner = down(F.leaky_relu(x, 0.2), 1)
    if f"{prefix}.5.weight" in w:
        return torch.cat([x, F.instance_norm(up(written_out(w, F.instance_norm(inner), f"{prefix}.3.model"), 5))], 1)
    return torch.cat([x, F.instance_norm(up(inner, 3))], 1)


@pytest.mark.parametrize("downs", [5, 7])
def test_network_is_the_published_one_written_out(downs: int) -> None:
    torch.manual_seed(0)
    network = UNet(downs, width=4).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.1)
    image = torch.rand(2, 3, 128, 256, dtype=torch.float64)
    expected = (written_out(network.state_dict(), image * 2 - 1) + 1) / 2
    assert expected.std() > 0.1
    assert torch.allclose(network(image), expected, atol=1e-10)


def test_output_is_that_of_the_papers_code(fixtures: Path) -> None:
    folder = fixtures / "cyclegan"
    expected = load_file(folder / "networks.safetensors")
    network = UNet(7, width=2)
    network.load_state_dict(torch.load(folder / "unet_128.pth", weights_only=True))
    output = network((expected["unet_128.input"] + 1) / 2) * 2 - 1
    assert (output - expected["unet_128.output"]).abs().max() < 1e-5


def test_fine_detail_passes_around_the_bottleneck() -> None:
    """With the path down silenced, the picture still depends on the outermost skip's own pixels."""
    torch.manual_seed(0)
    network = UNet(5, width=4, norm="none")
    deepest = [level for level in network.modules() if isinstance(level, Level)][2]
    for parameter in deepest.parameters():
        nn.init.zeros_(parameter)
    image = torch.rand(1, 3, 32, 32, requires_grad=True)
    (slope,) = torch.autograd.grad(network(image)[0, :, 16, 16].sum(), image)
    assert slope.any()


def test_dropout_lies_at_the_levels_of_full_width_but_the_innermost() -> None:
    network = UNet(8, width=2, dropout=0.5)
    assert sum(isinstance(module, nn.Dropout) for module in network.modules()) == 3


def test_gradients_are_right_in_double_precision() -> None:
    torch.manual_seed(0)
    network = UNet(5, width=1).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.3)
    image = torch.rand(1, 3, 32, 32, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(network, image, fast_mode=True)


def test_convolutions_start_normal_with_deviation_002() -> None:
    torch.manual_seed(0)
    weights = [m.weight for m in UNet(5, width=16).modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(weights) == 10
    for weight in weights:
        assert weight.std().item() == pytest.approx(0.02, rel=4 / weight.numel() ** 0.5)


def test_fewer_than_five_steps_down_are_refused() -> None:
    with pytest.raises(StylekitError, match=r"'downs'.* is 4, but must be at least 5"):
        UNet(4)


def test_resize_convolution_keeps_sizes_and_is_recognised_by_its_weights() -> None:
    network = UNet(5, width=4, upsample="resize").eval()
    image = torch.rand(1, 3, 33, 50)
    with torch.no_grad():
        assert network(image).shape == image.shape
    assert UNet.recognise(network.state_dict()) == {
        "downs": 5, "width": 4, "norm": "instance", "upsample": "resize", "channels": 3,
    }  # fmt: skip


def test_resize_convolution_leaves_no_checkerboard_where_a_transposed_one_does() -> None:
    flat = torch.full((1, 8, 16, 16), 0.5)

    def alternation(layer: nn.Module) -> float:
        with torch.no_grad():
            inner = layer(flat)[..., 8:-8, 8:-8]
        return float((inner[..., 1:] - inner[..., :-1]).abs().mean() / inner.abs().mean())

    torch.manual_seed(0)
    assert alternation(resize_conv(8, 8)) < 1e-5
    assert alternation(nn.ConvTranspose2d(8, 8, 4, stride=2, padding=1)) > 0.1


@pytest.mark.parametrize(("option", "value"), [("width", 0), ("channels", 0), ("dropout", 1.0), ("dropout", -0.1)])
def test_options_that_build_no_network_are_refused(option: str, value: float) -> None:
    with pytest.raises(StylekitError, match=rf"The option '{option}' is {value}, but must be at least"):
        UNet(**{option: value})
