"""Adversarial losses against values worked out by hand."""

from __future__ import annotations

import math
from typing import TypeAlias

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stylekit_plugins.losses.adversarial import LSGAN, Hinge, NonSaturating, stylekit_losses

SCORES = torch.tensor([[0.5, -2.0], [3.0, 1.0]], dtype=torch.float64)
Loss: TypeAlias = LSGAN | NonSaturating | Hinge
LOSSES: list[Loss] = [LSGAN(), NonSaturating(), Hinge()]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
every_verb = pytest.mark.parametrize("verb", ["real", "fake", "fool"])


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


@pytest.mark.parametrize(
    ("loss", "verb", "value"),
    [
        (LSGAN(), "real", (0.25 + 9 + 4 + 0) / 4),
        (LSGAN(), "fake", (0.25 + 4 + 9 + 1) / 4),
        (LSGAN(), "fool", (0.25 + 9 + 4 + 0) / 4),
        (NonSaturating(), "real", (softplus(-0.5) + softplus(2) + softplus(-3) + softplus(-1)) / 4),
        (NonSaturating(), "fake", (softplus(0.5) + softplus(-2) + softplus(3) + softplus(1)) / 4),
        (NonSaturating(), "fool", (softplus(-0.5) + softplus(2) + softplus(-3) + softplus(-1)) / 4),
        (Hinge(), "real", (0.5 + 3 + 0 + 0) / 4),
        (Hinge(), "fake", (1.5 + 0 + 4 + 2) / 4),
        (Hinge(), "fool", -(0.5 - 2 + 3 + 1) / 4),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, torch.nn.Module) else str(value),
)
def test_values_by_hand(loss: Loss, verb: str, value: float) -> None:
    assert float(getattr(loss, verb)(SCORES)) == pytest.approx(value, rel=1e-12)


def test_logistic_loss_is_cross_entropy_with_labels_one_and_zero() -> None:
    scores = torch.randn(3, 1, 5, 5, dtype=torch.float64)
    ones, zeros = torch.ones_like(scores), torch.zeros_like(scores)
    assert torch.allclose(NonSaturating().real(scores), F.binary_cross_entropy_with_logits(scores, ones))
    assert torch.allclose(NonSaturating().fake(scores), F.binary_cross_entropy_with_logits(scores, zeros))


@every_loss
@every_verb
def test_every_scale_weighs_the_same_however_many_scores_it_has(loss: Loss, verb: str) -> None:
    large, small = torch.randn(2, 1, 8, 8), torch.randn(2, 1, 2, 2)
    play = getattr(loss, verb)
    assert torch.allclose(play([large, small]), (play(large) + play(small)) / 2)
    assert torch.allclose(play((large, small, small)), (play(large) + 2 * play(small)) / 3)


def gradient(loss: Loss, verb: str, scores: Tensor) -> Tensor:
    scores = scores.clone().requires_grad_()
    (slope,) = torch.autograd.grad(getattr(loss, verb)(scores), scores)
    return slope


@every_loss
@pytest.mark.parametrize(("verb", "sign"), [("real", -1), ("fake", 1), ("fool", -1)])
def test_gradients_push_real_and_fooling_scores_up_and_fake_ones_down(loss: Loss, verb: str, sign: int) -> None:
    undecided = torch.full((2, 1, 3, 3), 0.5)
    assert (gradient(loss, verb, undecided) * sign > 0).all()


@every_loss
@every_verb
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_extreme_scores_keep_value_and_gradient_finite(loss: Loss, verb: str, size: float) -> None:
    scores = torch.full((1, 1, 2, 2), size)
    assert torch.isfinite(getattr(loss, verb)(scores))
    assert torch.isfinite(gradient(loss, verb, scores)).all()


def test_generator_still_learns_when_the_logistic_discriminator_is_sure() -> None:
    sure = torch.full((1, 1, 1, 1), -1e4)
    assert float(gradient(NonSaturating(), "fool", sure)) == pytest.approx(-1)


def test_hinge_leaves_alone_what_lies_beyond_the_margin_but_always_moves_the_generator() -> None:
    beyond = torch.tensor([1.5])
    assert float(gradient(Hinge(), "real", beyond)) == 0
    assert float(gradient(Hinge(), "fake", -beyond)) == 0
    assert float(gradient(Hinge(), "fool", beyond)) == -1


def test_least_squares_pulls_too_high_scores_back_to_the_label() -> None:
    assert float(gradient(LSGAN(), "real", torch.tensor([3.0]))) == pytest.approx(4)


@every_loss
def test_losses_have_no_weights(loss: Loss) -> None:
    assert not list(loss.parameters())
    assert not loss.state_dict()


def test_losses_are_offered_by_name() -> None:
    assert stylekit_losses() == {"lsgan": LSGAN, "nonsaturating": NonSaturating, "hinge": Hinge}
