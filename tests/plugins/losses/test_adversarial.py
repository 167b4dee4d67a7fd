"""Adversarial losses against values computed by hand."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import TypeAlias

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stylekit import StylekitError, make, testing
from stylekit_plugins.losses import adversarial
from stylekit_plugins.losses.adversarial import (
    LSGAN,
    Hinge,
    Minimax,
    NonSaturating,
    Relativistic,
    Wasserstein,
    stylekit_adversarial_losses,
)
from tests.facts import raises

SCORES = torch.tensor([[0.5, -2.0], [3.0, 1.0]], dtype=torch.float64)
FAR = 1e6
"""A score so far on the right side that its part of the logistic and the hinge loss is zero."""
Loss: TypeAlias = Minimax | LSGAN | NonSaturating | Hinge | Wasserstein
LOSSES: list[Loss] = [Minimax(), LSGAN(), NonSaturating(), NonSaturating(smoothing=0.1), Hinge(), Wasserstein()]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
every_side = pytest.mark.parametrize("side", ["real", "fake", "generator"])


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def play(loss: Loss, side: str) -> Callable[[Tensor | list[Tensor] | tuple[Tensor, ...]], Tensor]:
    """The loss as a function of the scores of one kind: for the discriminator, the other kind contributes nothing."""
    if side == "generator":
        return loss.generator
    ideal_real, ideal_fake = (1.0, 0.0) if isinstance(loss, LSGAN) else (FAR, -FAR)
    if isinstance(loss, Wasserstein) or getattr(loss, "smoothing", 0):
        ideal_real = ideal_fake = 0.0
    if side == "real":
        return lambda scores: loss.discriminator(scores, torch.tensor([ideal_fake]).double())
    return lambda scores: loss.discriminator(torch.tensor([ideal_real]).double(), scores)


@pytest.mark.parametrize(
    ("loss", "side", "value"),
    [
        (LSGAN(), "real", (0.25 + 9 + 4 + 0) / 4),
        (LSGAN(), "fake", (0.25 + 4 + 9 + 1) / 4),
        (LSGAN(), "generator", (0.25 + 9 + 4 + 0) / 4),
        (NonSaturating(), "real", (softplus(-0.5) + softplus(2) + softplus(-3) + softplus(-1)) / 4),
        (NonSaturating(), "fake", (softplus(0.5) + softplus(-2) + softplus(3) + softplus(1)) / 4),
        (NonSaturating(), "generator", (softplus(-0.5) + softplus(2) + softplus(-3) + softplus(-1)) / 4),
        (Minimax(), "generator", -(softplus(0.5) + softplus(-2) + softplus(3) + softplus(1)) / 4),
        (Wasserstein(), "real", -(0.5 - 2 + 3 + 1) / 4),
        (Wasserstein(), "fake", (0.5 - 2 + 3 + 1) / 4),
        (Wasserstein(), "generator", -(0.5 - 2 + 3 + 1) / 4),
        (Hinge(), "real", (0.5 + 3 + 0 + 0) / 4),
        (Hinge(), "fake", (1.5 + 0 + 4 + 2) / 4),
        (Hinge(), "generator", -(0.5 - 2 + 3 + 1) / 4),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, torch.nn.Module) else str(value),
)
def test_each_side_by_hand(loss: Loss, side: str, value: float) -> None:
    assert play(loss, side)(SCORES).item() == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("loss", "value"),
    [
        (LSGAN(), (0.25 + 9) / 2 + (0.0625 + 16 + 1) / 3),
        (NonSaturating(), (softplus(-0.5) + softplus(2)) / 2 + (softplus(0.25) + softplus(-4) + softplus(1)) / 3),
        (Hinge(), (0.5 + 3) / 2 + (1.25 + 0 + 2) / 3),
        (Minimax(), (softplus(-0.5) + softplus(2)) / 2 + (softplus(0.25) + softplus(-4) + softplus(1)) / 3),
        (Wasserstein(), (0.25 - 4 + 1) / 3 - (0.5 - 2) / 2),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, torch.nn.Module) else "",
)
def test_the_discriminators_loss_is_the_sum_of_the_means_of_real_and_fake_scores(loss: Loss, value: float) -> None:
    """There may be another number of real scores than of fake ones."""
    real, fake = torch.tensor([0.5, -2.0]).double(), torch.tensor([0.25, -4.0, 1.0]).double()
    assert loss.discriminator(real, fake).item() == pytest.approx(value, rel=1e-12)


def test_logistic_loss_is_cross_entropy_with_labels_one_and_zero() -> None:
    real, fake = torch.randn(2, 3, 1, 5, 5, dtype=torch.float64)
    ones, zeros = torch.ones_like(real), torch.zeros_like(fake)
    cross_entropy = F.binary_cross_entropy_with_logits
    expected = cross_entropy(real, ones) + cross_entropy(fake, zeros)
    torch.testing.assert_close(NonSaturating().discriminator(real, fake), expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(NonSaturating().generator(fake), cross_entropy(fake, ones), rtol=1e-12, atol=0)


def test_smoothed_labels_are_those_of_the_cross_entropy() -> None:
    real, fake = torch.randn(2, 3, 1, 5, 5, dtype=torch.float64)
    cross_entropy = F.binary_cross_entropy_with_logits
    expected = cross_entropy(real, torch.full_like(real, 0.8)) + cross_entropy(fake, torch.zeros_like(fake))
    torch.testing.assert_close(NonSaturating(smoothing=0.2).discriminator(real, fake), expected, rtol=1e-12, atol=0)
    with raises(StylekitError, "'smoothing'", 1.0):
        NonSaturating(smoothing=1.0)


def test_a_relativistic_loss_compares_the_mean_scores_of_pairs_of_images() -> None:
    real = [torch.tensor([[1.0, 3.0], [0.0, 0.0]]).double(), torch.tensor([[6.0], [1.0]]).double()]
    fake = [torch.tensor([[0.0, 0.0], [2.0, 4.0]]).double(), torch.tensor([[1.0], [0.0]]).double()]
    differences = ((2 + 6) / 2 - 0.5, 0.5 - 3 / 2)  # of the first pair, and of the second
    loss = Relativistic()
    assert loss.relativistic
    found = loss.discriminator(real, fake).item(), loss.generator(fake, real).item()
    assert found == pytest.approx(
        [sum(softplus(sign * each) for each in differences) / 2 for sign in (-1, 1)], rel=1e-12
    )
    with raises(StylekitError, "'relativistic'", "real"):
        loss.generator(fake)


@every_loss
@every_side
def test_every_scale_has_the_same_weight_whatever_its_number_of_scores(loss: Loss, side: str) -> None:
    large, small = torch.randn(2, 1, 8, 8).double(), torch.randn(2, 1, 2, 2).double()
    of = play(loss, side)
    assert torch.allclose(of([large, small]), (of(large) + of(small)) / 2, rtol=1e-12)
    assert torch.allclose(of((large, small, small)), (of(large) + 2 * of(small)) / 3, rtol=1e-12)


@every_loss
def test_the_discriminator_accepts_lists_of_scores_on_both_sides(loss: Loss) -> None:
    real, fake = ([torch.randn(2, 1, side, side).double() for side in (8, 4, 2)] for _ in range(2))
    expected = sum(loss.discriminator(*pair) for pair in zip(real, fake, strict=True)) / 3
    assert loss.discriminator(real, fake).item() == pytest.approx(float(expected), rel=1e-12)


@every_loss
def test_no_loss_is_relativistic_and_the_generators_ignores_real_scores(loss: Loss) -> None:
    assert loss.relativistic is False
    fake, real = torch.randn(2, 2, 1, 3, 3)
    assert torch.equal(loss.generator(fake, real), loss.generator(fake))
    assert inspect.signature(loss.generator).parameters["real"].default is None


def gradient(loss: Loss, side: str, scores: Tensor) -> Tensor:
    scores = scores.clone().requires_grad_()
    (derivative,) = torch.autograd.grad(play(loss, side)(scores), scores)
    return derivative


@every_loss
@pytest.mark.parametrize(("side", "sign"), [("real", -1), ("fake", 1), ("generator", -1)])
def test_gradients_push_real_scores_up_fake_ones_down_and_for_the_generator_up(
    loss: Loss, side: str, sign: int
) -> None:
    undecided = torch.full((2, 1, 3, 3), 0.5)
    assert (gradient(loss, side, undecided) * sign > 0).all()


@every_loss
@every_side
def test_gradients_match_finite_differences(loss: Loss, side: str) -> None:
    scores = torch.tensor([0.5, -2.0, 3.0, 0.25], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(play(loss, side), scores)


@every_loss
@every_side
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_extreme_scores_keep_value_and_gradient_finite(loss: Loss, side: str, size: float) -> None:
    scores = torch.full((1, 1, 2, 2), size)
    assert torch.isfinite(play(loss, side)(scores))
    assert torch.isfinite(gradient(loss, side, scores)).all()


def test_the_generator_still_learns_when_the_logistic_discriminator_is_certain() -> None:
    certain = torch.full((1, 1, 1, 1), -1e4)
    assert float(gradient(NonSaturating(), "generator", certain)) == pytest.approx(-1)


def test_hinge_ignores_scores_beyond_the_margin_but_always_moves_the_generator() -> None:
    beyond = torch.tensor([1.5])
    assert float(gradient(Hinge(), "real", beyond)) == 0
    assert float(gradient(Hinge(), "fake", -beyond)) == 0
    assert float(gradient(Hinge(), "generator", beyond)) == -1


def test_least_squares_pulls_high_scores_back_to_the_label() -> None:
    assert float(gradient(LSGAN(), "real", torch.tensor([3.0]))) == pytest.approx(4)


@every_loss
def test_losses_have_no_weights(loss: Loss) -> None:
    assert not list(loss.parameters())
    assert not loss.state_dict()


def test_losses_are_offered_by_name_as_adversarial_losses_only() -> None:
    assert stylekit_adversarial_losses() == {
        "minimax": Minimax,
        "lsgan": LSGAN,
        "nonsaturating": NonSaturating,
        "hinge": Hinge,
        "wasserstein": Wasserstein,
        "relativistic": Relativistic,
    }
    assert isinstance(make("adversarial", "hinge"), Hinge)
    assert not hasattr(adversarial, "stylekit_losses")


@pytest.mark.parametrize("kind", stylekit_adversarial_losses().values())
def test_conformance(kind: type[Loss]) -> None:
    testing.check("adversarial", kind)
