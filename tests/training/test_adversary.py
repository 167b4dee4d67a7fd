"""Adversary: its terms by hand, what the discriminator sees, and resuming."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stylekit import Adversary


class Scoring(nn.Module):
    """Scores the mean of an image times that of its condition, and remembers what it saw."""

    def __init__(self, independent: bool = True) -> None:
        super().__init__()
        self.sample_independent = independent
        self.weight = nn.Parameter(torch.ones(()))
        self.seen: list[Tensor] = []

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Tensor:
        self.seen.append(image.detach())
        scores = self.weight * image.mean((1, 2, 3))
        return scores if condition is None else scores * condition


class Shifted(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image + 1


class Constant(nn.Module):
    def __init__(self, value: float = 1.0, interval: int = 1) -> None:
        super().__init__()
        self.value, self.interval = value, interval

    def forward(self, discriminator: Any, real: Tensor, fake: Tensor) -> Tensor:
        return self.value * discriminator(real).mean()


def images(count: int = 3) -> tuple[Tensor, Tensor]:
    return torch.full((count, 3, 8, 8), 0.75), torch.full((count, 3, 8, 8), 0.25)


def seen_by(adversary: Adversary) -> list[Tensor]:
    discriminator: Any = adversary.discriminator
    seen: list[Tensor] = discriminator.seen
    return seen


def values(terms: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(term.detach()) for name, term in terms.items()}


@pytest.mark.parametrize("independent", [True, False])
def test_the_terms_are_those_of_its_parts(independent: bool) -> None:
    real, fake = images()
    adversary = Adversary(lambda: Scoring(independent), "lsgan", regularizers=[Constant])
    assert values(adversary.discriminate(real, fake)) == pytest.approx(
        {"adversarial": 0.25**2 + 0.25**2, "constant": 0.75}
    )
    assert float(adversary.generate(fake, real).detach()) == pytest.approx(0.75**2)
    seen = seen_by(adversary)
    assert len(seen[0]) == (6 if independent else 3)  # as one batch, if images do not affect each other


def test_a_condition_reaches_the_scores_and_the_penalties() -> None:
    real, fake = images(2)
    adversary = Adversary(Scoring, "wasserstein", regularizers=[Constant])
    condition = torch.tensor([1.0, 3.0])
    assert values(adversary.discriminate(real, fake, condition)) == pytest.approx(
        {"adversarial": 2 * (0.25 - 0.75), "constant": 2 * 0.75}
    )
    assert float(adversary.generate(fake, real, condition).detach()) == pytest.approx(-2 * 0.25)


def test_both_players_see_augmented_images() -> None:
    real, fake = images()
    fake.requires_grad_()
    adversary = Adversary(Scoring, "wasserstein", augment=[Shifted, Shifted])
    adversary.discriminate(real, fake)
    assert [float(each.mean()) for each in seen_by(adversary)[0].split(3)] == [2.75, 2.25]
    loss = adversary.generate(fake, real)
    assert float(loss.detach()) == -2.25
    (gradient,) = torch.autograd.grad(loss, fake)
    assert gradient.any()


def test_generated_images_get_no_gradient_from_the_discriminator() -> None:
    real, fake = images()
    terms = Adversary(Scoring).discriminate(real, fake.requires_grad_())
    (gradient,) = torch.autograd.grad(terms["adversarial"], fake, allow_unused=True)
    assert gradient is None


def test_a_relativistic_loss_sees_real_images_in_both_turns() -> None:
    real, fake = images()
    adversary = Adversary(Scoring, "relativistic")
    logistic = float(nn.functional.softplus(torch.tensor(0.5)))
    assert float(adversary.generate(fake, real).detach()) == pytest.approx(logistic)
    assert float(adversary.discriminate(real, fake)["adversarial"].detach()) == pytest.approx(logistic - 0.5)


def test_lazy_penalties_are_due_at_every_nth_update_and_resume_there() -> None:
    real, fake = images()
    every = {"name": "r1", "interval": 3}

    def due(adversary: Adversary, count: int) -> list[bool]:
        return ["r1" in adversary.discriminate(real, fake) for _ in range(count)]

    adversary = Adversary(Scoring, regularizers=[every])
    assert due(adversary, 2) == [True, False]
    resumed = Adversary(Scoring, regularizers=[every])
    resumed.load_state_dict(adversary.state_dict())
    assert due(resumed, 5) == [False, True, False, False, True]


def test_a_lazy_penalty_counts_as_often_as_it_was_left_out() -> None:
    adversary = Adversary(Scoring, regularizers=[lambda: Constant(2.0, interval=4)])
    (penalty,) = (term for name, term in adversary.discriminate(*images()).items() if name != "adversarial")
    assert float(penalty.detach()) == pytest.approx(4 * 2 * 0.75)


def test_two_penalties_of_one_name_are_two_terms() -> None:
    pair = [{"name": "gradient-penalty", "center": 0.0}, "gradient-penalty"]
    terms = Adversary("patch", regularizers=pair).discriminate(*torch.rand(2, 2, 3, 32, 32))
    assert list(terms) == ["adversarial", "gradient-penalty", "gradient-penalty1"]


def test_augmentations_observe_the_scores_of_real_images() -> None:
    observed: list[Tensor] = []

    class Observing(Shifted):
        def observe(self, scores: Tensor) -> None:
            observed.append(scores)

    real, fake = images()
    Adversary(Scoring, augment=[Observing]).discriminate(real, fake)
    torch.testing.assert_close(observed[0], torch.full((3,), 1.75), check_stride=False)


def test_earlier_images_come_from_the_pool() -> None:
    torch.manual_seed(0)  # with other numbers, the pool may return each image at once
    adversary = Adversary(Scoring, pool=1)
    for value in (0.1, 0.2, 0.3, 0.4):
        adversary.discriminate(torch.ones(1, 3, 8, 8), torch.full((1, 3, 8, 8), value))
    shown = [round(float(each[1].mean()), 1) for each in seen_by(adversary)]
    assert shown[0] == 0.1
    assert shown != [0.1, 0.2, 0.3, 0.4]


def test_options_reach_the_discriminator() -> None:
    scores = Adversary("patch", channels=6).discriminator(torch.rand(1, 6, 32, 32))
    assert isinstance(scores, Tensor)
    assert scores.shape[:2] == (1, 1)
