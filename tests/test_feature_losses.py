"""Losses on features, and on several layers of them, against plain formulas in float64 and finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from stylekit.errors import StylekitError
from stylekit.losses import (
    ContentLoss,
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
from tests.facts import raises

Features = dict[str, Tensor]
SIZES = {"fine": (2, 6, 5), "middle": (3, 4, 4), "deep": (5, 1, 3)}
"""Channels, height and width of the layers of an encoder."""


def drawn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 0.5


def encoded(count: int = 2, seed: int = 0) -> Features:
    """The features of some images, in every layer."""
    return {name: drawn(count, *size, seed=seed + n) for n, (name, size) in enumerate(SIZES.items())}


def close(ours: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-14)


# Plain formulas: one image (C, H, W) after the other, in loops where that is clearer.


def difference(one: Tensor, other: Tensor) -> float:
    pairs = zip(one.flatten().tolist(), other.flatten().tolist(), strict=True)
    return sum((a - b) ** 2 for a, b in pairs) / one.numel()


def gram(features: Tensor) -> Tensor:
    """(C, C), of (C, H, W)."""
    channels, height, width = features.shape
    sums = [[float((one * other).sum()) for other in features] for one in features]
    return torch.tensor(sums, dtype=torch.float64) / (channels * height * width)


def of_channels(features: Tensor, eps: float = 1e-5, unbiased: bool = False) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (C,), by torch.var."""
    flat = features.flatten(1)
    return flat.mean(1), (torch.var(flat, 1, correction=int(unbiased)) + eps).sqrt()


def relative(one: Tensor, other: Tensor) -> float:
    return float((one - other).square().sum() / other.square().sum())


def normalised(features: Tensor, eps: float = 1e-3) -> Tensor:
    mean, std = of_channels(features, eps)
    return (features - mean[:, None, None]) / std[:, None, None]


# Single layers


def test_the_feature_loss_is_the_mean_squared_difference_of_each_image() -> None:
    one, other = drawn(3, 4, 5, 2), drawn(3, 4, 5, 2, seed=1)
    expected = [difference(a, b) for a, b in zip(one, other, strict=True)]
    assert feature_loss(one, other).tolist() == pytest.approx(expected, rel=1e-12)
    assert feature_loss(one, one).tolist() == [0, 0, 0]


def test_one_row_of_features_may_be_the_target_of_all() -> None:
    one, other = drawn(3, 4, 5, 2), drawn(1, 4, 5, 2, seed=1)
    expected = [difference(image, other[0]) for image in one]
    assert feature_loss(one, other).tolist() == pytest.approx(expected, rel=1e-12)


def test_the_relative_gram_loss_is_a_share_of_the_targets_square() -> None:
    one, other = drawn(3, 4, 5, 2), drawn(3, 4, 7, 3, seed=1)
    ours, theirs = gram_matrix(one), gram_matrix(other)
    expected = [relative(gram(a), gram(b)) for a, b in zip(one, other, strict=True)]
    assert gram_loss(ours, theirs).tolist() == pytest.approx(expected, rel=1e-10)
    expected = [relative(gram(a), gram(other[0])) for a in one]
    assert gram_loss(ours, theirs[:1]).tolist() == pytest.approx(expected, rel=1e-10)


def test_the_plain_gram_loss_is_the_mean_of_the_squares() -> None:
    one, other = drawn(3, 4, 5, 2), drawn(3, 4, 7, 3, seed=1)
    ours, theirs = gram_matrix(one), gram_matrix(other)
    expected = [difference(gram(a), gram(b)) for a, b in zip(one, other, strict=True)]
    assert gram_loss(ours, theirs, relative=False).tolist() == pytest.approx(expected, rel=1e-10)
    expected = [difference(gram(a), gram(other[0])) for a in one]
    assert gram_loss(ours, theirs[:1], relative=False).tolist() == pytest.approx(expected, rel=1e-10)


def test_only_the_plain_gram_loss_depends_on_the_scale_of_the_features() -> None:
    ours, theirs = gram_matrix(drawn(2, 4, 5, 2)), gram_matrix(drawn(2, 4, 5, 2, seed=1))
    close(gram_loss(100 * ours, 100 * theirs), gram_loss(ours, theirs))
    close(gram_loss(100 * ours, 100 * theirs, relative=False), 1e4 * gram_loss(ours, theirs, relative=False))


def test_the_share_of_a_gram_matrix_of_zero_is_finite() -> None:
    """Its square counts as 1e-12."""
    zero = torch.zeros(1, 2, 2, dtype=torch.float64)
    assert gram_loss(zero, zero).tolist() == [0]
    assert gram_loss(zero + 1e-6, zero).tolist() == pytest.approx([4e-12 / 1e-12], rel=1e-10)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("eps", [0.0, 1e-5, 0.3])
@pytest.mark.parametrize("size", [(1, 2), (3, 1), (6, 5)], ids=str)
def test_moments_are_torchs_mean_and_variance(size: tuple[int, int], eps: float, unbiased: bool) -> None:
    features = drawn(2, 3, *size)
    mean, std = moments(features, eps, unbiased)
    variance, expected = torch.var_mean(features, (2, 3), correction=int(unbiased))
    close(mean, expected)
    close(std, (variance + eps).sqrt())
    assert mean.shape == std.shape == (2, 3)


def test_moments_are_biased_with_a_small_eps_by_default() -> None:
    features = drawn(2, 3, 4, 4)
    close(moments(features)[1], (features.var((2, 3), correction=0) + 1e-5).sqrt())


@pytest.mark.parametrize("unbiased", [False, True])
def test_a_single_pixel_has_no_variance(unbiased: bool) -> None:
    """torch.var is NaN there if it is divided by the number of pixels less one."""
    mean, std = moments(drawn(2, 3, 1, 1), 0.25, unbiased)
    close(mean, drawn(2, 3, 1, 1)[..., 0, 0])
    close(std, torch.full((2, 3), 0.5, dtype=torch.float64))


def test_the_moment_loss_adds_the_mean_squared_differences_of_means_and_of_deviations() -> None:
    """Huang and Belongie 2017, equation 13, as means."""
    one, other = drawn(3, 4, 5, 2), drawn(3, 4, 7, 3, seed=1)

    def by_hand(a: Tensor, b: Tensor) -> float:
        pairs = zip(of_channels(a), of_channels(b), strict=True)
        return sum(difference(ours, theirs) for ours, theirs in pairs)

    expected = [by_hand(a, b) for a, b in zip(one, other, strict=True)]
    assert moment_loss(moments(one), moments(other)).tolist() == pytest.approx(expected, rel=1e-10)
    first = moments(other[:1])
    expected = [by_hand(a, other[0]) for a in one]
    assert moment_loss(moments(one), first).tolist() == pytest.approx(expected, rel=1e-10)
    assert moment_loss(first, first).tolist() == [0]


def test_color_moments_hold_means_and_second_moments() -> None:
    image = drawn(2, 3, 4, 5)
    held = 4 * color_moments(image)  # a Gram matrix of four channels is divided by four as well
    assert held.shape == (2, 4, 4)
    close(held[:, 3, :3], image.mean((2, 3)))
    close(held[:, 3, 3], torch.ones(2, dtype=torch.float64))
    close(held, held.mT)
    for row in range(2):
        flat = image[row].flatten(1)
        close(held[row, :3, :3], flat @ flat.T / 20)
        means = flat.mean(1)
        covariance = held[row, :3, :3] - means.outer(means)
        torch.testing.assert_close(covariance, torch.cov(flat, correction=0), rtol=1e-10, atol=1e-12)


def test_images_with_the_same_colours_in_other_places_have_the_same_color_moments() -> None:
    image = drawn(1, 3, 4, 5)
    shuffled = image.flatten(2)[..., torch.randperm(20)].view_as(image)
    torch.testing.assert_close(color_moments(shuffled), color_moments(image), rtol=1e-10, atol=1e-12)
    assert not torch.allclose(color_moments(image.flip(1)), color_moments(image))


# A discriminator's features


def test_feature_matching_is_the_mean_absolute_difference_averaged_over_maps() -> None:
    fake, real = ([drawn(3, 2, 5, 4, seed=seed), drawn(3, 7, seed=seed + 1)] for seed in (0, 2))
    expected = []
    for row in range(3):
        maps = []
        for one, other in zip(fake, real, strict=True):
            pairs = zip(one[row].flatten().tolist(), other[row].flatten().tolist(), strict=True)
            maps.append(sum(abs(a - b) for a, b in pairs) / one[row].numel())
        expected.append(sum(maps) / 2)
    assert feature_matching(fake, real).tolist() == pytest.approx(expected, rel=1e-12)
    assert feature_matching(fake, fake).tolist() == [0, 0, 0]


def test_every_map_has_the_same_weight_whatever_its_size() -> None:
    zero, one = torch.zeros(1, 1, 1, 1).double(), torch.ones(1, 1, 1, 1).double()
    large = torch.zeros(1, 8, 50, 50).double()
    assert feature_matching([one, large], [zero, large]).tolist() == [0.5]


def test_the_real_side_of_feature_matching_gets_no_gradient() -> None:
    fake, real = ([drawn(2, 3, 4, 4, seed=seed).requires_grad_()] for seed in (0, 1))
    feature_matching(fake, real).sum().backward()
    assert real[0].grad is None
    assert fake[0].grad is not None
    close(fake[0].grad, (fake[0] - real[0]).detach().sign() / 48)


def test_a_missing_feature_map_is_an_error() -> None:
    maps = [drawn(1, 2, 3, 3), drawn(1, 2, 3, 3)]
    with pytest.raises(ValueError, match="zip"):
        feature_matching(maps, maps[:1])


# The content, over several layers


def content_by_hand(one: Features, other: Features, weights: dict[str, float], normalize: bool) -> list[float]:
    shown = normalised if normalize else lambda features: features
    count = len(next(iter(one.values())))
    return [
        sum(w * difference(shown(one[name][row]), shown(other[name][row])) for name, w in weights.items())
        for row in range(count)
    ]


LAYERS: dict[str, tuple[Any, dict[str, float]]] = {
    "weights": ({"fine": 0.5, "deep": 3.0}, {"fine": 0.5, "deep": 3.0}),
    "names": (("fine", "deep"), {"fine": 0.5, "deep": 0.5}),
    "one name": (["middle"], {"middle": 1.0}),
    "all": ((), dict.fromkeys(SIZES, 1 / 3)),
}
every_choice = pytest.mark.parametrize(("layers", "weights"), LAYERS.values(), ids=LAYERS)
"""Layers with weights, names that share a weight of 1, and all layers."""


@every_choice
@pytest.mark.parametrize("normalize", [False, True], ids=["plain", "normalised"])
def test_the_content_loss_is_the_weighted_sum_over_layers(
    layers: Any, weights: dict[str, float], normalize: bool
) -> None:
    loss, features, others = ContentLoss(layers, normalize), encoded(), encoded(seed=10)
    target = loss.target(others)
    assert list(target) == list(weights)
    expected = content_by_hand(features, others, weights, normalize)
    assert loss(features, target).tolist() == pytest.approx(expected, rel=1e-10)
    assert loss(others, target).abs().max() < 1e-20


def test_the_content_loss_is_plain_by_default() -> None:
    features, others = encoded(), encoded(seed=10)
    assert not ContentLoss().normalize
    for name, target in ContentLoss(["fine", "deep"]).target(features).items():
        assert torch.equal(target, features[name])
    plain, normal = (ContentLoss(normalize=normalize) for normalize in (False, True))
    assert not torch.allclose(plain(features, plain.target(others)), normal(features, normal.target(others)))


def test_a_normalised_content_loss_ignores_contrast_and_brightness_of_each_channel() -> None:
    loss = ContentLoss(normalize=True, eps=1e-9)
    features = encoded()
    changed = {name: (1.5 + drawn(*each.shape[:2], 1, 1)) * each + 3 for name, each in features.items()}
    assert loss(changed, loss.target(features)).max() < 1e-6
    assert ContentLoss()(changed, ContentLoss().target(features)).min() > 1


def test_the_eps_of_a_normalised_content_loss_is_added_to_the_variances() -> None:
    features, others = encoded(), encoded(seed=10)
    for eps in (1e-3, 0.5):
        loss = ContentLoss(["fine"], normalize=True, eps=eps)
        pairs = zip(features["fine"], others["fine"], strict=True)
        expected = [difference(normalised(a, eps), normalised(b, eps)) for a, b in pairs]
        assert loss(features, loss.target(others)).tolist() == pytest.approx(expected, rel=1e-10)
    assert ContentLoss().eps == 1e-3


# The style, over several layers


@every_choice
@pytest.mark.parametrize("relative_", [True, False], ids=["relative", "plain"])
def test_the_style_loss_by_gram_matrices(layers: Any, weights: dict[str, float], relative_: bool) -> None:
    loss, features, others = StyleLoss(layers, "gram", relative_), encoded(), encoded(seed=10)
    error = relative if relative_ else difference
    expected = [
        sum(w * error(gram(features[name][row]), gram(others[name][row])) for name, w in weights.items())
        for row in range(2)
    ]
    target = loss.target(others)
    assert {name: tuple(each.shape) for name, each in target.items()} == {
        name: (2, SIZES[name][0], SIZES[name][0]) for name in weights
    }
    for name in weights:
        for row in range(2):
            close(target[name][row], gram(others[name][row]))
    assert loss(features, target).tolist() == pytest.approx(expected, rel=1e-10)
    assert loss(others, target).abs().max() < 1e-20


@every_choice
@pytest.mark.parametrize("unbiased", [False, True], ids=["biased", "unbiased"])
def test_the_style_loss_by_moments(layers: Any, weights: dict[str, float], unbiased: bool) -> None:
    loss = StyleLoss(layers, "moments", eps=1e-4, unbiased=unbiased)
    features, others = encoded(), encoded(seed=10)

    def error(one: Tensor, other: Tensor) -> float:
        pairs = zip(of_channels(one, 1e-4, unbiased), of_channels(other, 1e-4, unbiased), strict=True)
        return sum(difference(ours, theirs) for ours, theirs in pairs)

    expected = [
        sum(w * error(features[name][row], others[name][row]) for name, w in weights.items()) for row in range(2)
    ]
    target = loss.target(others)
    assert {name: tuple(each.shape) for name, each in target.items()} == {
        f"{name}.{moment}": (2, SIZES[name][0]) for name in weights for moment in ("mean", "std")
    }
    for name in weights:
        for row in range(2):
            mean, std = of_channels(others[name][row], 1e-4, unbiased)
            close(target[f"{name}.mean"][row], mean)
            close(target[f"{name}.std"][row], std)
    assert loss(features, target).tolist() == pytest.approx(expected, rel=1e-10)
    assert loss(others, target).abs().max() < 1e-20


def test_relative_gram_matrices_of_all_layers_are_the_default() -> None:
    features, others = encoded(), encoded(seed=10)
    explicit = StyleLoss(dict.fromkeys(SIZES, 1 / 3), statistic="gram", relative=True)
    close(StyleLoss()(features, StyleLoss().target(others)), explicit(features, explicit.target(others)))


@pytest.mark.parametrize("statistic", ["gram", "moments"])
def test_one_style_may_be_the_target_of_all_images(statistic: Any) -> None:
    loss, features = StyleLoss(statistic=statistic), encoded(3)
    target = loss.target(encoded(1, seed=10))
    together = loss(features, target)
    assert together.shape == (3,)
    for row in range(3):
        alone = {name: each[row : row + 1] for name, each in features.items()}
        close(loss(alone, target), together[row : row + 1])


@pytest.mark.parametrize("statistic", ["gram", "moments"])
def test_averages_of_targets_are_targets(statistic: Any) -> None:
    """With the error of Gram matrices as a mean of squares, the gradient towards an average is the average gradient."""
    loss = StyleLoss(statistic=statistic, relative=False)
    features = {name: each.requires_grad_() for name, each in encoded(1).items()}
    first, second = (loss.target(encoded(1, seed=seed)) for seed in (10, 20))
    average = {name: 0.25 * first[name] + 0.75 * second[name] for name in first}

    def slopes(target: Features) -> list[Tensor]:
        return list(torch.autograd.grad(loss(features, target).sum(), list(features.values())))

    for ours, one, other in zip(slopes(average), slopes(first), slopes(second), strict=True):
        torch.testing.assert_close(ours, 0.25 * one + 0.75 * other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("loss", [ContentLoss(normalize=True), StyleLoss(), StyleLoss(statistic="moments")], ids=str)
def test_targets_can_be_kept_and_indexed_by_row(loss: ContentLoss | StyleLoss) -> None:
    """As methods do that learn several styles."""
    features, others = encoded(2), encoded(3, seed=10)
    target, which = loss.target(others), torch.tensor([2, 0])
    chosen = loss.target({name: each[which] for name, each in others.items()})
    close(loss(features, {name: each[which] for name, each in target.items()}), loss(features, chosen))


def test_only_the_layers_of_a_loss_need_to_be_there() -> None:
    features = {"fine": encoded()["fine"]}
    for loss in (ContentLoss(["fine"]), StyleLoss({"fine": 2.0}), StyleLoss(["fine"], "moments")):
        assert loss(features, loss.target({**features, "more": features["fine"]})).tolist() == [0, 0]
    with pytest.raises(KeyError, match="deep"):
        ContentLoss(["deep"]).target(features)


# Gradients


GRADIENTS: dict[str, Callable[[Tensor], Tensor]] = {
    "feature_loss": lambda x: feature_loss(x, drawn(1, 3, 3, 4, seed=1)),
    "relative gram_loss": lambda x: gram_loss(gram_matrix(x), gram_matrix(drawn(2, 3, 5, 5, seed=1))),
    "plain gram_loss": lambda x: gram_loss(gram_matrix(x), gram_matrix(drawn(1, 3, 5, 5, seed=1)), relative=False),
    "moments": lambda x: torch.stack(moments(x, 1e-2)),
    "unbiased moments": lambda x: torch.stack(moments(x, 1e-2, unbiased=True)),
    "moment_loss": lambda x: moment_loss(moments(x), moments(drawn(2, 3, 5, 5, seed=1))),
    "color_moments": color_moments,
    "feature_matching": lambda x: feature_matching([x, 2 * x], [drawn(2, 3, 3, 4, seed=s) for s in (1, 2)]),
    "total_variation": total_variation,
    "plain content": lambda x: ContentLoss(["x"])({"x": x}, {"x": drawn(2, 3, 3, 4, seed=1)}),
    "normalised content": lambda x: ContentLoss({"x": 3.0}, normalize=True)({"x": x}, {"x": drawn(2, 3, 3, 4, seed=1)}),
    "style by gram": lambda x: StyleLoss()({"x": x}, StyleLoss().target({"x": drawn(2, 3, 5, 5, seed=1)})),
    "style by moments": lambda x: StyleLoss((), "moments", unbiased=True)(
        {"x": x}, StyleLoss((), "moments", unbiased=True).target({"x": drawn(2, 3, 5, 5, seed=1)})
    ),
}


@pytest.mark.parametrize("function", GRADIENTS.values(), ids=GRADIENTS)
def test_gradients_match_finite_differences(function: Callable[[Tensor], Tensor]) -> None:
    assert torch.autograd.gradcheck(function, drawn(2, 3, 3, 4).requires_grad_())


@pytest.mark.parametrize("statistic", ["gram", "moments"])
def test_gradients_reach_the_target_as_well(statistic: Any) -> None:
    """A method may learn the style itself."""
    loss, style = StyleLoss(statistic=statistic), drawn(1, 3, 4, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss({"x": drawn(2, 3, 3, 4)}, loss.target({"x": s})), style)


# Precision


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_large_features_in_half_precision_do_not_overflow(dtype: torch.dtype) -> None:
    """A sum of 64 x 64 squares of 300 is 5,600 times the largest number of float16. Statistics are float32."""
    features = (300 * (1 + 0.1 * drawn(1, 4, 64, 64))).to(dtype)
    others = (200 * (1 + 0.1 * drawn(1, 4, 64, 64, seed=1))).to(dtype)
    for loss in (StyleLoss(), StyleLoss(relative=False), StyleLoss(statistic="moments")):
        target = loss.target({"x": others})
        assert {each.dtype for each in target.values()} == {torch.float32}
        ours = loss({"x": features}, target)
        assert ours.dtype == torch.float32
        expected = loss({"x": features.double()}, loss.target({"x": others.double()}))
        torch.testing.assert_close(ours.double(), expected, rtol=1e-4, atol=0)
    assert color_moments(features[:, :3]).dtype == torch.float32


@pytest.mark.parametrize("function", ["gram", "moments"])
def test_the_gradient_in_half_precision_is_finite(function: Any) -> None:
    features = (300 * (1 + 0.1 * drawn(1, 4, 32, 32))).half().requires_grad_()
    loss = StyleLoss(statistic=function)
    loss({"x": features}, loss.target({"x": 0.5 * features.detach()})).sum().backward()
    assert features.grad is not None
    assert bool(torch.isfinite(features.grad).all())


@pytest.mark.parametrize(
    "loss", [ContentLoss(), ContentLoss(normalize=True), StyleLoss(), StyleLoss(statistic="moments")]
)
def test_float32_matches_float64(loss: ContentLoss | StyleLoss) -> None:
    features, others = encoded(), encoded(seed=10)
    single = [{name: each.float() for name, each in of.items()} for of in (features, others)]
    ours, exact = loss(single[0], loss.target(single[1])), loss(features, loss.target(others))
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours.double(), exact, rtol=1e-4, atol=1e-8)


def test_an_empty_mapping_means_all_layers() -> None:
    features = {"a": torch.rand(1, 2, 3, 3)}
    for loss in (ContentLoss({}), StyleLoss({})):
        assert loss(features, loss.target(features)).tolist() == [0]


def test_an_unknown_statistic_is_refused() -> None:
    with raises(StylekitError, "'grams'"):
        StyleLoss(statistic="grams").target({"a": torch.rand(1, 2, 3, 3)})
