"""Patch and pixel discriminators: published sizes, and what a score sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from stylekit import StylekitError
from stylekit_plugins.discriminators.patch import Patch, Pixel


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_has_as_many_parameters_as_published() -> None:
    by_hand = sum((before * 16 + 1) * after for before, after in [(3, 64), (64, 128), (128, 256), (256, 512), (512, 1)])
    assert count(Patch()) == by_hand == 2_764_737


def test_pixel_discriminator_has_three_1x1_layers() -> None:
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
def test_receptive_field_is_the_published_one(layers: int, patch: int, side: int) -> None:
    # Without norms, which make every score depend on the whole picture.
    assert seen_by_middle_score(Patch(layers, width=2, norm="none"), side) == (patch, patch)


def test_pixel_discriminator_sees_one_pixel() -> None:
    assert seen_by_middle_score(Pixel(width=2, norm="none"), 16) == (1, 1)


def test_map_of_scores_for_256_pixels_is_30x30() -> None:
    assert Patch(width=2)(torch.rand(2, 3, 256, 256)).shape == (2, 1, 30, 30)


def test_pixel_discriminator_gives_a_score_a_pixel() -> None:
    assert Pixel(width=2)(torch.rand(2, 3, 7, 5)).shape == (2, 1, 7, 5)


def test_scores_of_pixels_are_those_of_the_papers_code(fixtures: Path) -> None:
    folder = fixtures / "cyclegan"
    expected = load_file(folder / "networks.safetensors")
    network = Pixel(width=4)
    network.load_state_dict(torch.load(folder / "pixel.pth", weights_only=True))
    scores = network((expected["pixel.input"] + 1) / 2)
    assert (scores - expected["pixel.output"]).abs().max() < 1e-5


@pytest.mark.parametrize("layers", [1, 2, 3, 4, 5])
def test_least_side_is_enough_for_a_score(layers: int) -> None:
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


@pytest.mark.parametrize("build", [lambda: Patch(layers=0), lambda: Patch(width=-1), lambda: Pixel(width=0)])
def test_options_that_build_no_network_are_refused(build: Callable[[], nn.Module]) -> None:
    with pytest.raises(StylekitError, match=r"The option '(layers|width)' is (0|-1), and must be at least 1\."):
        build()
