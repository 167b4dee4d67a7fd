"""Gradient penalties: against the gradients of discriminators that are known in closed form."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stylekit import StylekitError, make, testing
from stylekit_plugins.regularizers.gradients import R1, R2, GradientPenalty
from tests.facts import raises

NAMES = ["r1", "r2", "gradient-penalty"]


class Linear(nn.Module):
    """Scores ``w . x``, so the gradient is ``w`` everywhere."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, image: Tensor) -> Tensor:
        return (image * self.weight).sum((1, 2, 3))


def square(image: Tensor) -> Tensor:
    """Scores ``|x|^2 / 2``, so the gradient is ``x``."""
    return image.square().sum((1, 2, 3)) / 2


def images() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.rand(2, 5, 3, 6, 7, generator=generator, dtype=torch.float64)
    return real, fake


def norms(image: Tensor) -> Tensor:
    return image.flatten(1).norm(dim=1)


def test_r1_and_r2_of_a_linear_discriminator_are_its_weights() -> None:
    weight = torch.randn(3, 6, 7, dtype=torch.float64)
    discriminator = Linear(weight)
    for name in ("r1", "r2"):
        penalty = make("regularizer", name, gamma=4.0)(discriminator, *images())
        assert float(penalty.detach()) == pytest.approx(2 * float(weight.square().sum()))
        (gradient,) = torch.autograd.grad(penalty, discriminator.weight)
        torch.testing.assert_close(gradient, 4 * weight)


def test_r1_is_at_real_images_and_r2_at_generated_ones() -> None:
    real, fake = images()
    for name, image in (("r1", real), ("r2", fake)):
        penalty = make("regularizer", name, gamma=2.0)(square, real, fake)
        torch.testing.assert_close(penalty.detach(), norms(image).square().mean())


@pytest.mark.parametrize(("progress", "weight"), [(0.0, 8.0), (0.5, 5.0), (1 / 3, 6.5), (1.0, 2.0)])
def test_the_weight_falls_along_half_a_cosine(progress: float, weight: float) -> None:
    real, fake = images()
    penalty = R1(gamma=8.0, final=2.0)
    penalty.progress = progress
    torch.testing.assert_close(penalty(square, real, fake).detach(), weight / 2 * norms(real).square().mean())


@pytest.mark.parametrize(
    ("options", "of_norm"),
    [
        ({}, lambda n: 10 * (n - 1) ** 2),
        ({"weight": 3.0, "center": 2.0}, lambda n: 3 * (n - 2) ** 2),
        ({"center": 100.0, "one_sided": True}, lambda n: 0 * n),
        ({"center": 1.0, "one_sided": True}, lambda n: 10 * (n - 1).clamp(min=0) ** 2),
        ({"center": 0.0}, lambda n: 10 * n**2),
    ],
)
def test_the_penalty_between_equal_images_is_that_of_their_norm(options: dict[str, Any], of_norm: Any) -> None:
    real, _ = images()
    found = make("regularizer", "gradient-penalty", **options)(square, real, real.clone())
    assert float(found.detach()) == pytest.approx(float(of_norm(norms(real)).mean()), rel=1e-6)


def test_the_penalty_is_at_points_between_real_and_generated_images() -> None:
    real, fake = images()
    seen: list[Tensor] = []

    def discriminator(image: Tensor) -> Tensor:
        seen.append(image.detach())
        return square(image)

    make("regularizer", "gradient-penalty")(discriminator, real, fake)
    share = (seen[0] - real) / (fake - real)
    assert (share.flatten(1).std(1) < 1e-9).all()  # one for each image
    assert 0 <= share.min() < share.max() <= 1


def test_scores_of_positions_and_scales_are_averaged() -> None:
    real, fake = images()
    weight = torch.randn(3, 6, 7, dtype=torch.float64)

    def many(image: Tensor) -> list[Tensor]:
        score = Linear(weight)(image)[:, None, None, None]
        return [score.expand(-1, 1, 4, 5), 3 * score.expand(-1, 1, 2, 2)]

    penalty = make("regularizer", "r1", gamma=1.0)(many, real, fake)
    assert float(penalty.detach()) == pytest.approx(0.5 * float((2 * weight).square().sum()))


def test_a_gradient_of_zero_has_a_finite_penalty() -> None:
    discriminator = Linear(torch.zeros(3, 6, 7, dtype=torch.float64))
    penalty = make("regularizer", "gradient-penalty")(discriminator, *images())
    (gradient,) = torch.autograd.grad(penalty, discriminator.weight)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("penalty", [R1, R2, GradientPenalty])
def test_conformance(penalty: type[nn.Module]) -> None:
    testing.check("regularizer", penalty)


@pytest.mark.parametrize("name", NAMES)
def test_an_interval_below_one_is_refused(name: str) -> None:
    with raises(StylekitError, "'interval'", 0):
        make("regularizer", name, interval=0)
