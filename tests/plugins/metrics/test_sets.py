"""Metrics of sets: closed forms, torchmetrics' numbers for the same features, and sets that can be counted by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import poly_mmd

from stylekit import StylekitError, make
from tests.facts import raises

SMALL: dict[str, Any] = {"encoder": {"name": "random", "width": 8, "scales": 2}}


def metric(name: str, **options: Any) -> Any:
    return make("metric", name, **SMALL, **options)


def rows(count: int, width: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def exact(covariance: Tensor, mean: float, count: int = 400) -> Tensor:
    """Features with exactly this covariance and mean."""
    drawn = rows(count, len(covariance))
    drawn = drawn - drawn.mean(0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(torch.cov(drawn.T)), drawn.T, upper=False).T
    return white @ torch.linalg.cholesky(covariance).T + mean


def test_the_frechet_distance_of_normal_distributions() -> None:
    """Of N(0, 1) and N(3, 2^2) in each of two features: 2 (3^2 + (2 - 1)^2) = 20."""
    one, other = exact(torch.eye(2).double(), 0.0), exact(4 * torch.eye(2).double(), 3.0)
    assert float(metric("frechet")(one, other)) == pytest.approx(20)
    assert float(metric("frechet")(one, one)) == pytest.approx(0, abs=1e-9)


def test_the_frechet_distance_is_that_of_torchmetrics() -> None:
    mixed = rows(50) @ rows(6, seed=2) + 1
    moments = [part for each in (rows(40, seed=1), mixed) for part in (each.mean(0), torch.cov(each.T))]
    expected = float(_compute_fid(*moments))
    assert float(metric("frechet")(rows(40, seed=1), mixed)) == pytest.approx(expected, rel=1e-6)
    assert float(metric("frechet")(rows(40, seed=1).float(), mixed.float())) == pytest.approx(expected, rel=1e-4)


def test_a_frechet_distance_needs_more_images_than_features() -> None:
    with raises(StylekitError, "6 outputs", "7", "mind", "kernel"):
        metric("frechet")(rows(6), rows(10))
    with raises(StylekitError, "5 real images", "7"):
        metric("frechet")(rows(10), rows(5))


def test_the_kernel_distance_is_that_of_torchmetrics() -> None:
    one, other = rows(20, seed=1), rows(20, seed=2) + 0.5
    assert float(metric("kernel")(one, other)) == pytest.approx(float(poly_mmd(one, other)), rel=1e-6)


def test_the_kernel_distance_by_hand() -> None:
    """With k(x, y) = (x y + 1)^3 for features of one number: 1 and 3 against 0 and 2."""
    one, other = torch.tensor([[1.0], [3.0]]), torch.tensor([[0.0], [2.0]])
    within, beside, between = 4.0**3, 1.0, (1 + 27 + 1 + 343) / 4
    assert float(metric("kernel")(one, other)) == pytest.approx(within + beside - 2 * between)


def test_mind_of_a_shift_is_three_times_its_square() -> None:
    """Along a random axis u, a shift s moves all points by u s, whose mean square is |s|^2 / D."""
    shift = torch.tensor([3.0, 0, 0, 4.0, 0, 0]).double()
    found = float(metric("mind", axes=1000)(rows(30), rows(30)[torch.randperm(30)] + shift))
    assert found == pytest.approx(3 * 25, rel=0.06)
    assert float(metric("mind")(rows(30), rows(30).flip(0))) == pytest.approx(0, abs=1e-12)


def test_mind_compares_sets_of_different_sizes() -> None:
    doubled = rows(30).repeat_interleave(2, 0)
    assert float(metric("mind")(rows(30), doubled)) < 0.1
    assert float(metric("mind")(rows(40, seed=1), rows(30))) < float(metric("mind")(rows(40, seed=1) + 1, rows(30)))


def line(*positions: float) -> Tensor:
    return torch.tensor(positions)[:, None]


def test_neighbourhoods_on_a_line() -> None:
    """Real images at 0, 1, 2 and 10 have balls up to their nearest neighbour: of radius 1, 1, 1 and 8."""
    real, outputs = line(0, 1, 2, 10), line(0.5, 1.2, 5, 30)
    # 0.5 is in the balls of 0 and 1; 1.2 in those of 1 and 2; 5 in that of 10; 30 in none.
    assert float(metric("precision", neighbours=1)(outputs, real)) == 3 / 4
    assert float(metric("density", neighbours=1)(outputs, real)) == (2 + 2 + 1) / 4
    assert float(metric("coverage", neighbours=1)(outputs, real)) == 1
    # The outputs' balls have the radii 0.7, 0.7, 3.8 and 25: 0, 1 and 2 are near outputs, and 10 is in that of 30.
    assert float(metric("recall", neighbours=1)(outputs, real)) == 1
    assert float(metric("recall", neighbours=1)(line(0.5, 0.6), real)) == 0
    assert float(metric("coverage", neighbours=1)(line(0.5, 0.6), real)) == 2 / 4


@pytest.mark.parametrize(("name", "count"), [("precision", 3), ("recall", 3), ("density", 5), ("coverage", 5)])
def test_the_papers_numbers_of_neighbours_are_the_defaults(name: str, count: int) -> None:
    assert metric(name).neighbours == count
    with raises(StylekitError, count + 1, "fewer neighbours"):
        metric(name)(rows(count), rows(count))


def test_features_are_means_over_the_image_of_one_layer() -> None:
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    deepest, other = metric("mind"), metric("mind", layer="scale1")
    layers = deepest.encoder(image)
    torch.testing.assert_close(deepest.features(image), list(layers.values())[-1].mean((2, 3)))
    torch.testing.assert_close(other.features(image), layers["scale1"].mean((2, 3)))


def test_diversity_is_the_share_of_the_distances_of_real_images() -> None:
    real = rows(40)
    assert float(metric("diversity")(0.3 * real + 5, real)) == pytest.approx(0.3)
    assert float(metric("diversity")(real[:1].expand(10, -1), real)) == 0
    two = torch.tensor([[0.0, 0], [3, 4]])
    assert float(metric("diversity")(two, torch.tensor([[0.0, 0], [0, 10], [0, 5]]))) == pytest.approx(5 / (20 / 3))


class Classes(nn.Module):
    """The scores of three classes at each pixel: the colours themselves."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"classes": image}


@pytest.mark.filterwarnings("ignore:std.*degrees of freedom")  # of one split
def test_the_classifier_score_is_torchmetrics_inception_score() -> None:
    score: Any = make("metric", "classifier-score", classifier=Classes)
    logits = 3 * rows(50, 3)
    with pytest.warns(UserWarning, match="buffer"):
        theirs: Any = InceptionScore(feature=nn.Identity(), splits=1)
    theirs.set_dtype(torch.float64)
    theirs.inception = nn.Identity()
    theirs.update(logits)
    mean, _ = theirs.compute()
    assert float(score(logits, logits)) == pytest.approx(float(mean), rel=1e-6)
    sure = 100 * torch.eye(3).repeat(4, 1)
    assert float(score(sure, sure)) == pytest.approx(3)
    assert float(score(torch.zeros(9, 3), torch.zeros(9, 3))) == pytest.approx(1)
    image = torch.rand(2, 3, 4, 4)
    assert torch.equal(score.features(image), image.mean((2, 3)))
