"""Patch and pixel discriminators: published sizes, and what a score sees."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from stylekit import StylekitError, make, testing
from stylekit_plugins.discriminators.patch import Patch, Pixel
from tests.facts import raises


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_there_are_as_many_parameters_as_published() -> None:
    by_hand = sum((before * 16 + 1) * after for before, after in [(3, 64), (64, 128), (128, 256), (256, 512), (512, 1)])
    assert count(Patch()) == by_hand == 2_764_737


def test_the_pixel_discriminator_has_three_1x1_layers() -> None:
    assert count(Pixel()) == (3 + 1) * 64 + (64 + 1) * 128 + (128 + 1)


def seen_by_middle_score(network: nn.Module, side: int) -> tuple[int, int]:
    """Height and width of the region whose pixels move the score in the middle of the map, measured by gradient."""
    image = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    scores = network.double()(image)
    (slope,) = torch.autograd.grad(scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2], image)
    touched = slope[0].abs().sum(0) > 0
    rows, columns = (touched.any(dim).nonzero().flatten() for dim in (1, 0))
    return int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1


@pytest.mark.parametrize(("layers", "patch", "side"), [(1, 16, 64), (2, 34, 96), (3, 70, 160), (5, 286, 640)])
def test_the_receptive_field_is_the_published_one(layers: int, patch: int, side: int) -> None:
    # Without norms, which make every score depend on the whole image.
    assert seen_by_middle_score(Patch(layers, width=2, norm="none"), side) == (patch, patch)


def test_the_pixel_discriminator_sees_one_pixel() -> None:
    assert seen_by_middle_score(Pixel(width=2, norm="none"), 16) == (1, 1)


def test_the_scores_for_256_pixels_are_30x30() -> None:
    assert Patch(width=2)(torch.rand(2, 3, 256, 256)).shape == (2, 1, 30, 30)


def test_the_pixel_discriminator_gives_one_score_per_pixel() -> None:
    assert Pixel(width=2)(torch.rand(2, 3, 7, 5)).shape == (2, 1, 7, 5)


def test_pixel_scores_are_those_of_the_papers_code(fixtures: Path) -> None:
    folder = fixtures / "cyclegan"
    expected = load_file(folder / "networks.safetensors")
    network = Pixel(width=4)
    network.load_state_dict(torch.load(folder / "pixel.pth", weights_only=True))
    scores = network((expected["pixel.input"] + 1) / 2)
    assert (scores - expected["pixel.output"]).abs().max() < 1e-5


@pytest.mark.parametrize("layers", [1, 2, 3, 4, 5])
def test_an_image_of_the_smallest_side_gets_a_score(layers: int) -> None:
    network = Patch(layers, width=2)
    scores = network(torch.rand(1, 3, network.min_size, network.min_size))
    assert scores.numel() >= 1
    assert torch.isfinite(scores).all()


def test_scores_are_raw() -> None:
    torch.manual_seed(0)
    network = Patch(layers=1, width=8)
    with torch.no_grad():
        network.model[-1].weight.mul_(100)
        scores = network(torch.rand(1, 3, 32, 32))
    assert scores.min() < -1
    assert scores.max() > 1


def test_images_are_moved_to_minus_one_to_one_inside() -> None:
    network, image = Patch(layers=1, width=4), torch.rand(1, 3, 16, 16)
    assert torch.equal(network(image), network.model(image * 2 - 1))


@pytest.mark.parametrize("kind", [Patch, Pixel])
def test_convolutions_start_normal_with_deviation_002_and_biases_at_zero(kind: type[Patch | Pixel]) -> None:
    torch.manual_seed(0)
    convolutions = [m for m in kind(width=64).modules() if isinstance(m, nn.Conv2d)]
    for layer in convolutions:
        assert layer.weight.std().item() == pytest.approx(0.02, rel=4 / layer.weight.numel() ** 0.5)
        assert layer.bias is None or not layer.bias.any()


@pytest.mark.parametrize("network", [Patch(1, width=2), Pixel(width=2)], ids=["patch", "pixel"])
def test_gradients_are_right_in_double_precision(network: nn.Module) -> None:
    torch.manual_seed(0)
    network = network.double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.5)
    image = torch.rand(1, 3, 12, 12, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(network, image, fast_mode=True)


@pytest.mark.parametrize(
    ("build", "option", "value"),
    [
        (lambda: Patch(layers=0), "'layers'", 0),
        (lambda: Patch(width=-1), "'width'", -1),
        (lambda: Patch(channels=0), "'channels'", 0),
        (lambda: Pixel(width=0), "'width'", 0),
        (lambda: Pixel(channels=-2), "'channels'", -2),
    ],
)
def test_options_that_build_no_network_are_refused(build: Callable[[], nn.Module], option: str, value: int) -> None:
    with raises(StylekitError, option, value, 1):
        build()


BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "patch": lambda **options: Patch(layers=2, width=4, **options),
    "patch without norm": lambda **options: Patch(layers=1, width=4, norm="none", **options),
    "patch with batch norm": lambda **options: Patch(layers=2, width=4, norm="batch", **options),
    "pixel": lambda **options: Pixel(width=4, **options),
}
every_kind = pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)


def varied(network: nn.Module) -> Any:
    """The network in float64, with weights so large that every layer counts."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.double().parameters():
            parameter.normal_(0, 0.5)
    return network


def last_convolution(network: nn.Module) -> Any:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)][-1]


@every_kind
def test_the_last_convolution_makes_the_scores_of_the_last_features(build: Callable[..., nn.Module]) -> None:
    network, image = varied(build()).train(), torch.rand(2, 3, 20, 24).double()
    features = network.features(image)
    assert len(features) == len([m for m in network.modules() if isinstance(m, nn.Conv2d)]) - 1
    assert torch.equal(last_convolution(network)(features[-1]), network(image))
    assert all(len(each) == 2 for each in features)


def test_features_are_the_activations_before_each_further_convolution() -> None:
    """Written out for two steps down: rectified, and normalised from the second on."""
    network, image = varied(Patch(layers=2, width=4)), torch.rand(2, 3, 20, 24).double()
    first, second, third, last = [m for m in network.modules() if isinstance(m, nn.Conv2d)]

    def normalised(x: Tensor) -> Tensor:
        return (x - x.mean((2, 3), keepdim=True)) / (x.var((2, 3), correction=0, keepdim=True) + 1e-5).sqrt()

    def leaky(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, 0.2 * x)

    x = leaky(first(image * 2 - 1))
    expected = [x, leaky(normalised(second(x)))]
    expected.append(leaky(normalised(third(expected[-1]))))
    features = network.features(image)
    assert [tuple(each.shape[1:]) for each in features] == [(4, 10, 12), (8, 5, 6), (16, 4, 5)]
    for ours, by_hand in zip(features, expected, strict=True):
        torch.testing.assert_close(ours, by_hand, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(network(image), last(expected[-1]), rtol=1e-10, atol=1e-12)


@every_kind
def test_features_have_a_gradient_for_the_image_at_every_depth(build: Callable[..., nn.Module]) -> None:
    network = varied(build())
    image = torch.rand(1, 3, 20, 24, dtype=torch.float64, requires_grad=True)
    for each in network.features(image):
        (slope,) = torch.autograd.grad((each * torch.rand(each.shape)).sum(), image, retain_graph=True)
        assert slope.abs().max() > 0


@every_kind
def test_a_condition_is_an_image_that_brings_further_channels(build: Callable[..., nn.Module]) -> None:
    """Scored with the image, as if their channels had been joined, and moved to [-1, 1] like it."""
    network = varied(build(channels=6)).eval()
    image, condition = torch.rand(2, 2, 3, 20, 24).double()
    joined = torch.cat([image, condition], 1)
    assert torch.equal(network(image, condition), network(joined))
    for ours, of_joined in zip(network.features(image, condition), network.features(joined), strict=True):
        assert torch.equal(ours, of_joined)
    assert not torch.allclose(network(image, condition.flip(0)), network(image, condition))


@every_kind
def test_a_condition_may_have_any_number_of_channels(build: Callable[..., nn.Module]) -> None:
    network, image, mask = build(channels=4), torch.rand(1, 3, 20, 24), torch.rand(1, 1, 20, 24)
    assert network(image, mask).shape[:2] == (1, 1)
    with pytest.raises(RuntimeError, match="channels"):
        network(image)


def test_six_channels_change_the_first_convolution_alone() -> None:
    three, six = Patch(width=8), make("discriminator", "patch", width=8, channels=6)
    shapes = [{name: tuple(p.shape) for name, p in network.named_parameters()} for network in (three, six)]
    assert {name: shapes[1][name] for name in shapes[0] if shapes[0][name] != shapes[1][name]} == {
        "model.0.weight": (8, 6, 4, 4)
    }


@pytest.mark.parametrize("factory", [functools.partial(Patch, layers=2, width=4), functools.partial(Pixel, width=4)])
def test_conformance(factory: Callable[..., nn.Module]) -> None:
    testing.check("discriminator", factory)
