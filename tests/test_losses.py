"""The shared losses computed by hand in float64, and their gradients against finite differences."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stylekit.losses import (
    ContentLoss,
    PathLength,
    StyleLoss,
    color_moments,
    feature_loss,
    feature_matching,
    gram_loss,
    moment_loss,
    moments,
    total_variation,
)
from stylekit.ops import gram_matrix


def doubles(*values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_the_feature_loss_is_the_mean_squared_difference() -> None:
    features = doubles([[[1, 2]], [[3, 4]]], [[[0, 0]], [[0, 2]]])  # two images of two channels and two pixels
    target = doubles([[[1, 0]], [[0, 4]]])
    assert feature_loss(features, target).tolist() == pytest.approx([(4 + 9) / 4, (1 + 4) / 4], rel=1e-12)


def test_the_gram_loss_is_relative_to_the_target() -> None:
    gram = doubles([[1, 2], [2, 5]], [[0, 0], [0, 0]], [[6, 0], [0, 8]])
    wanted = doubles([[1, 0], [0, 3]], [[7, 1], [1, 2]], [[3, 0], [0, 4]])
    # (4 + 4 + 4) / (1 + 9); a Gram matrix of 0; twice the target
    assert gram_loss(gram, wanted).tolist() == pytest.approx([1.2, 1, 1], rel=1e-12)
    assert gram_loss(gram, wanted[:1]).tolist() == pytest.approx([1.2, 1, 5], rel=1e-12)  # (25 + 25) / 10
    assert torch.equal(gram_loss(gram, gram), torch.zeros(3).double())


def test_the_absolute_gram_loss_is_the_mean_squared_difference() -> None:
    gram, wanted = doubles([[1, 2], [2, 5]], [[0, 0], [0, 0]]), doubles([[1, 0], [0, 3]])
    assert gram_loss(gram, wanted, relative=False).tolist() == pytest.approx([12 / 4, 10 / 4], rel=1e-12)


def test_the_gram_loss_does_not_depend_on_the_scale_of_the_features() -> None:
    gram, wanted = random(2, 3, 4, 4)
    torch.testing.assert_close(gram_loss(1e-3 * gram, 1e-3 * wanted), gram_loss(gram, wanted), rtol=1e-12, atol=0)


def test_the_target_may_be_zero() -> None:
    zero = torch.zeros(1, 2, 2).double()
    assert gram_loss(zero, zero).item() == 0
    assert gram_loss(zero + 1e-7, zero).item() == pytest.approx(4e-14 / 1e-12)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("eps", [0.0, 0.25])
def test_moments_are_the_mean_and_the_standard_deviation_of_each_channel(unbiased: bool, eps: float) -> None:
    features = random(2, 3, 4, 5)
    mean, std = moments(features, eps, unbiased)
    torch.testing.assert_close(mean, features.mean((2, 3)), rtol=1e-9, atol=0)
    torch.testing.assert_close(std, (features.var((2, 3), unbiased=unbiased) + eps).sqrt(), rtol=1e-9, atol=0)
    _, std = moments(features[..., :1, :1], eps, unbiased)  # one pixel, which has no unbiased variance
    torch.testing.assert_close(std, torch.full((2, 3), eps**0.5).double())


def test_the_moment_loss_is_the_mean_squared_difference_of_means_and_of_deviations() -> None:
    found = doubles([1, 2], [0, 0]), doubles([1, 1], [2, 0])
    target = doubles([1, 0]), doubles([0, 1])
    assert moment_loss(found, target).tolist() == pytest.approx([4 / 2 + 1 / 2, 1 / 2 + (4 + 1) / 2], rel=1e-12)


def test_colour_moments_are_the_products_of_the_colours_and_one() -> None:
    image = random(2, 3, 4, 5)
    gram = color_moments(image)
    assert gram.shape == (2, 4, 4)
    extended = torch.cat([image, torch.ones_like(image[:, :1])], 1)
    torch.testing.assert_close(gram, gram_matrix(extended))
    flat = extended.flatten(2)
    products = flat @ flat.mT
    torch.testing.assert_close(gram / gram[:, 3:, 3:], products / products[:, 3:, 3:])
    torch.testing.assert_close((gram / gram[:, 3:, 3:])[:, 3, :3], image.mean((2, 3)))


@pytest.mark.parametrize(
    ("power", "below", "beside"),
    [
        (1.0, [(1 + 0.5 + 0) / 3, 0], [(0.5 + 0.25 + 1 + 0.25) / 4, (4 + 0 + 4 + 0) / 4]),
        (2.0, [(1 + 0.25 + 0) / 3, 0], [(0.25 + 0.0625 + 1 + 0.0625) / 4, (16 + 0 + 16 + 0) / 4]),
    ],
)
def test_the_total_variation_compares_neighbours(power: float, below: list[float], beside: list[float]) -> None:
    image = doubles([[[0, 0.5, 0.25], [1, 0, 0.25]]], [[[5, 1, 1], [5, 1, 1]]])
    wanted = [one + other for one, other in zip(below, beside, strict=True)]
    assert total_variation(image, power).tolist() == pytest.approx(wanted, rel=1e-12)
    of_two_channels = torch.cat([image, torch.zeros_like(image)], 1)  # the second is flat
    assert total_variation(of_two_channels, power).tolist() == pytest.approx([each / 2 for each in wanted], rel=1e-12)


def test_squares_are_the_default() -> None:
    assert total_variation(doubles([[[0, 3]]])).item() == 9


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_a_side_of_one_pixel_has_no_variation(power: float) -> None:
    line = doubles([[[0, 1, 3]]])
    wanted = (1 + 2**power) / 2
    assert total_variation(line, power).item() == wanted
    assert total_variation(line.mT, power).item() == wanted
    assert total_variation(line[..., :1], power).tolist() == [0]


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_a_flat_image_has_a_zero_gradient(power: float) -> None:
    """The absolute value is not differentiable there; its gradient must not be NaN."""
    image = torch.full((1, 3, 4, 5), 0.7, requires_grad=True)
    total_variation(image, power).sum().backward()
    assert image.grad is not None
    assert torch.equal(image.grad, torch.zeros_like(image))


def test_feature_matching_is_the_mean_absolute_difference_averaged_over_maps() -> None:
    fake = [doubles([[[1, 2]]], [[[0, 0]]]), doubles([[[4]]], [[[1]]])]
    real = [doubles([[[0, 4]]], [[[1, 1]]]).requires_grad_(True), doubles([[[1]]], [[[1]]])]
    assert feature_matching(fake, real).tolist() == pytest.approx([(1.5 + 3) / 2, (1 + 0) / 2], rel=1e-12)
    assert not feature_matching(fake, real).requires_grad  # real images get no gradient
    with pytest.raises(ValueError, match="zip"):
        feature_matching(fake, real[:1])


LAYERS = {"one": random(2, 3, 4, 5), "two": random(2, 4, 2, 2, seed=1)}
OTHER = {"one": random(1, 3, 6, 7, seed=2), "two": random(1, 4, 3, 3, seed=3)}


@pytest.mark.parametrize(
    ("layers", "weights"),
    [((), {"one": 0.5, "two": 0.5}), (("two",), {"two": 1.0}), ({"one": 2.0, "two": 0.25}, {"one": 2.0, "two": 0.25})],
)
def test_losses_are_weighted_sums_over_layers(layers: object, weights: dict[str, float]) -> None:
    content, style = ContentLoss(layers), StyleLoss(layers)
    target = {name: features[:1] for name, features in LAYERS.items()}
    expected = sum(weight * feature_loss(LAYERS[name], target[name]) for name, weight in weights.items())
    torch.testing.assert_close(content(LAYERS, content.target(target)), expected)
    assert content.target(target).keys() == weights.keys()
    expected = sum(
        weight * gram_loss(gram_matrix(LAYERS[name]), gram_matrix(OTHER[name])) for name, weight in weights.items()
    )
    torch.testing.assert_close(style(LAYERS, style.target(OTHER)), expected)
    assert style.target(OTHER).keys() == weights.keys()


def test_a_normalized_content_loss_ignores_means_and_deviations_of_channels() -> None:
    content = ContentLoss(normalize=True, eps=0.0)
    shifted = {name: 3 * features + torch.arange(features.shape[1]).view(-1, 1, 1) for name, features in LAYERS.items()}
    target = content.target(LAYERS)
    assert float(content(shifted, target).max()) < 1e-12
    assert float(content({name: features.flip(-1) for name, features in LAYERS.items()}, target).min()) > 0.1
    torch.testing.assert_close(target["one"], F.instance_norm(LAYERS["one"], eps=0.0))


@pytest.mark.parametrize("relative", [True, False])
def test_a_style_loss_of_gram_matrices(relative: bool) -> None:
    style = StyleLoss(("one",), relative=relative)
    expected = gram_loss(gram_matrix(LAYERS["one"]), gram_matrix(OTHER["one"]), relative)
    torch.testing.assert_close(style(LAYERS, style.target(OTHER)), expected)


@pytest.mark.parametrize("unbiased", [True, False])
def test_a_style_loss_of_moments(unbiased: bool) -> None:
    style = StyleLoss(("one",), statistic="moments", eps=0.01, unbiased=unbiased)
    target = style.target(OTHER)
    assert {name: value.shape for name, value in target.items()} == {"one.mean": (1, 3), "one.std": (1, 3)}
    expected = moment_loss(moments(LAYERS["one"], 0.01, unbiased), moments(OTHER["one"], 0.01, unbiased))
    torch.testing.assert_close(style(LAYERS, target), expected)
    assert float(style(LAYERS, style.target(LAYERS)).max()) == 0


def linear(codes: Tensor, matrix: Tensor) -> Tensor:
    """Images of 4 x 4 pixels with the Jacobian ``matrix`` ``(D, 48)``; those of several scales are summed."""
    return (codes.flatten(1) @ matrix).view(len(codes), 3, 4, 4)


@pytest.mark.parametrize("scales", [(), (2,)])
def test_path_lengths_of_a_linear_generator_are_norms_of_its_jacobian_times_noise(scales: tuple[int, ...]) -> None:
    """``J^T y`` of equation 4, of each scale by itself, for noise y divided by the square root of the number of pixels."""
    codes = random(2, *scales, 5).requires_grad_()
    matrix = random(codes[0].numel(), 48, seed=1).requires_grad_()
    torch.manual_seed(2)
    lengths = PathLength.lengths(linear(codes, matrix), codes)
    torch.manual_seed(2)
    gradients = (torch.randn(2, 48, dtype=torch.float64) / 4) @ matrix.T
    expected = [gradient.view(-1, 5).norm(dim=1).square().mean().sqrt() for gradient in gradients]
    torch.testing.assert_close(lengths, torch.stack(expected))
    assert torch.autograd.grad(lengths.sum(), matrix)[0].all()


def test_the_mean_square_of_path_lengths_is_the_squared_jacobian_over_the_number_of_pixels() -> None:
    """With orthogonal rows of norm 3, that is 9 for each of the 5 dimensions of a code, divided by 16."""
    torch.manual_seed(0)
    rows, _ = torch.linalg.qr(random(48, 5))
    codes = random(5000, 5).requires_grad_()
    lengths = PathLength.lengths(linear(codes, 3 * rows.T), codes)
    assert float(lengths.square().mean()) == pytest.approx(9 * 5 / 16, rel=0.03)


def test_the_penalty_on_path_lengths_pulls_the_scale_of_a_generator_to_the_running_average() -> None:
    """The penalty of ``scale * J`` is (scale * length - average)^2, and its derivative 2 length (scale * length - average)."""
    penalty, codes, matrix = PathLength(decay=0.5).double(), random(3, 5).requires_grad_(), random(5, 48, seed=1)
    scale = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    average = 0.0
    for seed in range(2):
        torch.manual_seed(seed)
        lengths = ((torch.randn(3, 48, dtype=torch.float64) / 4) @ matrix.T).norm(dim=1)
        average = (average + 2 * float(lengths.mean())) / 2
        torch.manual_seed(seed)
        found = penalty(linear(codes, scale * matrix), codes)
        torch.testing.assert_close(found, (2 * lengths - average).square())
        (gradient,) = torch.autograd.grad(found.sum(), scale)
        torch.testing.assert_close(gradient, (2 * lengths * (2 * lengths - average)).sum())
    assert float(penalty.state_dict()["average"]) == pytest.approx(average)


def test_gradients_match_finite_differences() -> None:
    image = random(2, 3, 4, 5).requires_grad_(True)
    for power in (1.0, 2.0):
        assert torch.autograd.gradcheck(lambda x, power=power: total_variation(x, power), image)
    gram, wanted = random(2, 2, 3, 3, seed=1)
    for relative in (True, False):
        assert torch.autograd.gradcheck(
            lambda x, relative=relative: gram_loss(x, wanted, relative), gram.requires_grad_()
        )
    assert torch.autograd.gradcheck(lambda x: torch.cat(moments(x)), image)
    assert torch.autograd.gradcheck(lambda x: feature_loss(x, random(1, 3, 4, 5, seed=2)), image)
    assert torch.autograd.gradcheck(lambda x: feature_matching([x], [random(2, 3, 4, 5, seed=2)]), image)
