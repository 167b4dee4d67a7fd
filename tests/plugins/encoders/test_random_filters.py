"""Random filters: their properties, their responses against NumPy in float64, and whether they tell textures apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from stylekit import StylekitError
from stylekit.ops import gram_matrix
from stylekit_plugins.datasets.textures import KINDS, draw
from stylekit_plugins.encoders.random_filters import RandomFilters
from tests.facts import raises

Array = npt.NDArray[np.float64]


def responses(encoder: RandomFilters, image: Array) -> Array:
    """The ReLU of every filter at every pixel of ``(3, H, W)``, as sums over windows; the border is replicated."""
    side = encoder.filters.shape[-1]
    margin = side // 2
    padded = np.pad(image, ((0, 0), (margin, margin), (margin, margin)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), (1, 2))
    sums = np.einsum("chwij,fcij->fhw", windows, encoder.filters.numpy())
    return np.maximum(sums + encoder.bias.numpy()[:, None, None], 0)


def halved(image: Array) -> Array:
    """Means of 2 x 2 pixels; an odd side is padded by reflection."""
    odd = [(0, 0), *((0, side % 2) for side in image.shape[1:])]
    even = np.pad(image, odd, mode="reflect")
    return even.reshape(3, even.shape[1] // 2, 2, even.shape[2] // 2, 2).mean((2, 4))


@pytest.mark.parametrize(("side", "size"), [(7, (13, 10)), (5, (9, 8)), (3, (6, 11))])
def test_responses_match_a_plain_formulation(side: int, size: tuple[int, int]) -> None:
    encoder = RandomFilters(width=10, side=side, scales=3).double()
    image = torch.rand(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    features = encoder(image)
    for index in range(2):
        smaller = image[index].numpy() - 0.5
        for scale in ("scale1", "scale2", "scale3"):
            assert np.allclose(features[scale][index].numpy(), responses(encoder, smaller), atol=1e-12)
            smaller = halved(smaller)


@pytest.mark.parametrize("side", [3, 7])
def test_filters_have_norm_one(side: int) -> None:
    norms = RandomFilters(width=32, side=side).filters.double().square().sum((1, 2, 3))
    assert torch.allclose(norms, torch.ones_like(norms), atol=1e-6)


def test_one_filter_in_eight_responds_to_colour_and_the_others_only_to_contrast() -> None:
    encoder = RandomFilters(width=32, scales=3)
    colours = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.9, 0.2, 0.1], [0.1, 0.3, 0.8]])
    for features in encoder(colours[:, :, None, None].expand(-1, -1, 20, 17)).values():
        assert torch.allclose(features, features[:, :, :1, :1].expand_as(features), atol=1e-5)  # also at the borders
        apart = (features - features[:1]).abs().amax((0, 2, 3))
        blind = torch.arange(32) % 8 != 0
        assert apart[blind].max() < 1e-5
        assert apart[~blind].min() > 0.05
        idle = encoder.bias.clamp(min=0)[blind]
        assert torch.allclose(features[0, blind, 0, 0], idle, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (33, 50)])
def test_every_scale_is_half_the_size_of_the_previous_one(size: tuple[int, int]) -> None:
    maps = RandomFilters(width=4, scales=5)(torch.rand(2, 3, *size))
    expected = {f"scale{k + 1}": (2, 4, *(-(-side // 2**k) for side in size)) for k in range(5)}
    assert {name: tuple(features.shape) for name, features in maps.items()} == expected


def test_the_filters_depend_only_on_the_seed() -> None:
    before = torch.get_rng_state()
    first, other = RandomFilters(seed=3), RandomFilters(seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    again = RandomFilters(seed=3).state_dict()
    assert set(again) == {"filters", "bias"}
    assert all(torch.equal(tensor, again[key]) for key, tensor in first.state_dict().items())
    assert not any(torch.equal(tensor, again[key]) for key, tensor in other.state_dict().items())
    # The filters of another seed are unrelated: as vectors of 147 numbers they are nearly orthogonal.
    cosines = first.filters.flatten(1) @ other.filters.flatten(1).T
    assert cosines.square().mean() < 3 / 147


def test_the_encoder_has_no_parameters_and_the_image_gets_a_gradient() -> None:
    encoder = RandomFilters(width=8)
    assert not list(encoder.parameters())
    image = torch.rand(1, 3, 16, 16, requires_grad=True)
    torch.stack([features.sum() for features in encoder(image).values()]).sum().backward()
    assert image.grad is not None
    assert float(image.grad.abs().max()) > 0


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ({"width": 0}, ["'width'", 0, 1]),
        ({"scales": 0}, ["'scales'", 0, 1]),
        ({"side": 4}, ["'side'", "encoder 'random'", 4, "odd", 3]),
        ({"side": 1}, ["'side'", "encoder 'random'", 1, "odd", 3]),
    ],
)
def test_invalid_options_are_refused(options: dict[str, int], facts: list[object]) -> None:
    with raises(StylekitError, *facts):
        RandomFilters(**options)


def neighbours_of_their_kind(rows: Tensor, kinds: Tensor) -> float:
    """The share of rows whose nearest other row is of the same kind."""
    apart = torch.cdist(rows, rows).fill_diagonal_(torch.inf)
    return float((kinds[apart.argmin(1)] == kinds).float().mean())


@pytest.mark.slow
def test_gram_matrices_tell_kinds_of_textures_apart() -> None:
    """The images are grey, with equal mean and contrast, so that colours do not help.

    By chance one in six neighbours is of the same kind; with the Gram matrix of the pixels themselves hardly more.
    """
    count = 30
    images = torch.stack([draw(kind, 64, number) for kind in KINDS for number in range(count)]).mean(1, keepdim=True)
    kinds = torch.arange(len(KINDS)).repeat_interleave(count)
    level, contrast = images.mean((2, 3), keepdim=True), images.std((2, 3), keepdim=True)
    pictures = (0.5 + 0.2 * (images - level) / contrast.clamp(min=0.02)).expand(-1, 3, -1, -1)
    grams = [gram_matrix(maps).flatten(1) for maps in RandomFilters(side=5, scales=3)(pictures).values()]
    assert neighbours_of_their_kind(torch.cat(grams, 1).clamp(min=1e-8).log(), kinds) > 0.6
    assert neighbours_of_their_kind(gram_matrix(pictures).flatten(1), kinds) < 0.35
