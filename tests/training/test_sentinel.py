"""The sentinel: what it measures, by hand; when it speaks; and how a run returns to a checkpoint."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import stylekit
from stylekit import Adversary, Method, Player, StylekitError, turn
from stylekit.method import Batch, Terms
from stylekit.registry import lookup
from stylekit.training.sentinel import EVERY, PATIENCE, SIGNS, WARMUP, Sentinel, contrast, edges, likeness, spread
from tests.facts import assert_mentions, raises


class Painting(Method):
    """Returns what a test wants."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Conv2d(3, 3, 1)
        self.adversary = Adversary("patch")

    def players(self) -> dict[str, Player]:
        return {"generator": Player(self.net), "discriminator": Player(self.adversary)}

    def outputs(self, batch: Batch, made: Any) -> Mapping[str, Sequence[tuple[Tensor, Tensor]]]:
        return {"generator": [(made, batch["content"])]}


def contents(count: int = 1, number: int = 0) -> Tensor:
    return torch.rand(count, 3, 48, 48, generator=torch.Generator().manual_seed(number))


def signs(paint: Any, doubt: float | None = None, looks: int = 4 * PATIENCE, count: int = 1) -> list[str]:
    """The troubles that are reported, if ``paint`` makes the images of each batch."""
    method, found = Painting(), []
    sentinel = Sentinel(method)
    if doubt is not None:
        method.adversary.doubt = torch.tensor(doubt)
    for number in range(looks):
        content = contents(count, number)
        trouble = sentinel.look(WARMUP + EVERY * number, {"content": content}, paint(content))
        if trouble is not None:
            found.append(trouble.sign)
            since = {
                "variety": WARMUP + EVERY,
                "structure": SIGNS["structure"].after,
            }  # variety compares with the look before
            assert trouble.since == since.get(trouble.sign, WARMUP)
            assert_mentions(trouble.told, f"step {trouble.since}", "--set") if trouble.sign != "doubt" else None
    return found


def test_measurements_by_hand() -> None:
    content = torch.tensor([0.0, 1.0, 2.0, 3.0]).view(1, 1, 2, 2)
    assert float(contrast(content / 4 + 9, content)) == pytest.approx(0.25)
    assert float(likeness(content * 2 + 1, content)) == pytest.approx(1)
    assert float(likeness(-content, content)) == pytest.approx(-1)
    crossed = torch.tensor([1.0, -1.0, -1.0, 1.0]).view(1, 1, 2, 2)
    assert float(likeness(crossed, content)) == pytest.approx(0, abs=1e-6)
    steps = torch.zeros(1, 1, 4, 6)
    steps[..., 2:] = 3  # at half the size: one column of 0 and two of 3, so that the lightness changes once
    assert edges(steps).squeeze().tolist() == [3, 0]
    assert float(likeness(edges(1 - steps), edges(steps))) == pytest.approx(1)
    assert float(spread(torch.tensor([0.0, 1.0, 4.0]).view(3, 1, 1, 1))) == pytest.approx((4 + 1 + 3) / 3)


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize(
    ("paint", "expected"),
    [
        (lambda content: content, []),
        (lambda content: content.flip(1) * 0.5 + 0.2, []),
        (lambda content: 0.5 + 0.01 * content, ["contrast", "variety"]),
        (lambda content: contents(1, 99).expand_as(content), ["variety", "structure"]),
        (lambda content: 1 - content, ["likeness"]),
        (lambda content: torch.rand_like(content), ["structure"]),
        (lambda content: content.flip(3), ["structure"]),
    ],
    ids=["healthy", "other colours", "uniform", "always the same", "inverted", "unrelated", "elsewhere"],
)
def test_each_trouble_is_reported_once(paint: Any, expected: list[str], count: int) -> None:
    assert signs(paint, count=count) == expected


@pytest.mark.parametrize(("doubt", "expected"), [(0.5, []), (0.03, []), (0.001, ["doubt"])])
def test_a_discriminator_that_always_wins_is_reported(doubt: float, expected: list[str]) -> None:
    assert signs(lambda content: content, doubt) == expected


def test_trouble_that_passes_is_not_reported() -> None:
    method = Painting()
    sentinel = Sentinel(method)
    for number in range(4 * PATIENCE):
        content = contents(2, number)
        made = content if number % PATIENCE == 0 else 1 - content
        assert sentinel.look(WARMUP + EVERY * number, {"content": content}, made) is None


def test_it_looks_at_every_tenth_step_after_the_first_fifty() -> None:
    sentinel = Sentinel(Painting())
    assert [step for step in range(1, 100) if sentinel.due(step)] == [50, 60, 70, 80, 90]


def test_a_method_that_does_not_say_what_it_makes_is_left_alone() -> None:
    class Silent(Painting):
        def outputs(self, batch: Batch, made: Any) -> Mapping[str, Sequence[tuple[Tensor, Tensor]]]:
            return {}

    sentinel = Sentinel(Silent())
    assert all(sentinel.look(step, {}, None) is None for step in range(20))


def test_a_perfect_discriminator_leaves_no_doubt_whatever_its_labels() -> None:
    """With labels of 0.9, the best scores of real images are log 9, and the loss is the entropy of a coin of 0.9."""

    class Perfect(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return torch.where(image.mean((1, 2, 3)) > 0.5, math.log(9), -10.0)

    adversary = Adversary(Perfect, {"name": "nonsaturating", "smoothing": 0.1})
    terms = adversary.discriminate(torch.full((2, 3, 4, 4), 0.9), torch.full((2, 3, 4, 4), 0.1))
    assert float(terms["adversarial"]) > 0.3
    assert adversary.doubt is not None
    assert float(adversary.doubt) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_a_coin_leaves_all_doubt_whatever_its_labels(smoothing: float) -> None:
    """The best equal score s of labels 1 - smoothing and 0 has sigmoid(s) = (1 - smoothing) / 2."""
    share = (1 - smoothing) / 2

    class Coin(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return torch.full((len(image),), math.log(share / (1 - share)))

    adversary = Adversary(Coin, {"name": "nonsaturating", "smoothing": smoothing})
    adversary.discriminate(torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4))
    assert adversary.doubt is not None
    assert float(adversary.doubt) == pytest.approx(1, abs=2e-3)


def drawn_signs(draw: Any, looks: int = 40) -> list[str]:
    """The troubles that are reported, if ``draw`` makes the samples of each batch."""

    class Drawing(Painting):
        def outputs(self, batch: Batch, made: Any) -> Mapping[str, Sequence[tuple[Tensor, Tensor]]]:
            return {}

        def drawn(self, batch: Batch, made: Any) -> Sequence[tuple[Tensor, Tensor]]:
            return [(made, batch["content"])]

    sentinel, found = Sentinel(Drawing()), []
    for number in range(looks):
        real = contents(4, number)
        trouble = sentinel.look(WARMUP + EVERY * number, {"content": real}, draw(number))
        if trouble is not None:
            found.append(trouble.sign)
            assert trouble.since == SIGNS[trouble.sign].after
            assert_mentions(trouble.told, f"step {trouble.since}", "drawn", "--set")
    return found


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (lambda number: contents(4, 1000 + number), []),
        (lambda number: contents(1, number).expand(4, -1, -1, -1), []),  # one image a step, but another each time
        (lambda number: contents(1).expand(4, -1, -1, -1), ["variety of samples"]),
        (lambda number: contents(4, number) * 0.01, ["contrast of samples", "variety of samples"]),
    ],
    ids=["healthy", "moving", "always the same", "uniform"],
)
def test_samples_that_are_uniform_or_all_the_same_are_reported(draw: Any, expected: list[str]) -> None:
    assert drawn_signs(draw) == expected


@pytest.mark.parametrize("name", ["gan", "stylegan", "vae-gan"])
def test_methods_that_draw_show_the_sentinel_their_samples(name: str) -> None:
    method = stylekit.make("method", {"name": name, **lookup.find_part("method", name).presets["tiny"]})
    batch = {"content": contents(2)[..., :32, :32]}
    made = method(batch)
    ((drawn, real),) = method.drawn(batch, made)
    assert drawn.shape == real.shape
    assert torch.equal(real, batch["content"])
    assert drawn.requires_grad


@pytest.mark.parametrize(("loss", "expected"), [("lsgan", 0.5), ("hinge", 0.5), ("wasserstein", None)])
def test_doubt_is_the_loss_relative_to_that_of_a_coin(loss: str, expected: float | None) -> None:
    class Constant(nn.Module):
        """Scores for which the losses below are half of those of a discriminator that cannot decide."""

        def forward(self, image: Tensor) -> Tensor:
            sign = torch.where(image.mean((1, 2, 3)) > 0.5, 1.0, -1.0)
            return 0.5 * sign if loss == "hinge" else 0.5 + sign * (0.5 - 0.125**0.5)

    adversary = Adversary(Constant, loss)
    adversary.discriminate(torch.full((2, 3, 4, 4), 0.9), torch.full((2, 3, 4, 4), 0.1))
    assert (adversary.doubt is None) == (expected is None)
    if adversary.doubt is not None:
        assert float(adversary.doubt) == pytest.approx(expected)


class Spoiled(Method):
    """Copies the content, except that from a fifth of the run on, the first images are grey, or NaN."""

    def __init__(self, kind: float = 0.0, count: int = 10**9) -> None:
        super().__init__()
        self.net, self.kind, self.left = nn.Conv2d(3, 3, 1), kind, count

    def players(self) -> dict[str, Player]:
        def adam(parameters: Any, lr: float) -> torch.optim.Optimizer:
            self.optimizer = torch.optim.Adam(parameters, lr)
            return self.optimizer

        return {"generator": Player(self.net, 1e-3, adam)}

    def forward(self, batch: Batch) -> Any:
        painted = batch["content"] + 0 * self.net(batch["content"])
        if self.progress < 0.2 or self.left <= 0:
            return painted
        self.left -= 1
        return painted * self.kind

    @turn("generator")
    def paint(self, batch: Batch, made: Tensor) -> Terms:
        return {"near": (made - batch["content"]).abs().mean()}

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        return content


def run(out: Path, method: Spoiled, guard: str, steps: int = 200, **settings: Any) -> dict[str, Any]:
    given = {"size": 32, "data": "textures", "workers": 0, "batch_size": 2, "checkpoint_every": 20, **settings}
    stylekit.train(method, out=out, guard=guard, steps=steps, **given)
    content: dict[str, Any] = json.loads((out / "run.json").read_text())
    return content


@pytest.mark.long
def test_a_warning_is_recorded_and_the_run_goes_on(tmp_path: Path) -> None:
    content = run(tmp_path / "run", Spoiled(), "warn")
    told = [warning["text"].split(",")[0] for warning in content["warnings"]]
    assert told == ["Since step 50", "Since step 60", "Since step 150"]
    assert "rollbacks" not in content
    assert content["sessions"][-1]["ended"] == "complete"
    assert "warnings" not in run(tmp_path / "off", Spoiled(), "off")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "count", "fixes"),
    [
        pytest.param(0.0, 90, [(40, 0.5)], marks=pytest.mark.long),
        pytest.param(0.0, 210, [(40, 0.5), (20, 0.125), (0, 0.03125)], marks=pytest.mark.long),
        (float("nan"), 2, [(40, 0.5), (20, 0.125)]),
    ],
    ids=["grey", "grey again", "nan"],
)
def test_a_run_returns_to_the_checkpoint_before_with_lower_learning_rates(
    tmp_path: Path, kind: float, count: int, fixes: list[tuple[int, float]]
) -> None:
    """If the same happens soon after, to an earlier one with a quarter, because that checkpoint and half the rate were bad."""
    method = Spoiled(kind, count)
    content = run(tmp_path / "run", method, "rollback")
    assert [(fix["to"], fix["learning_rates"]) for fix in content["rollbacks"]] == fixes
    assert method.optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 * fixes[-1][1])
    assert content["sessions"][-1]["to"] == 200
    assert content["sessions"][-1]["ended"] == "complete"
    lines = [json.loads(line)["step"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines == list(range(1, 201))
    resumed = Spoiled(kind, count)
    resumed.left = 0
    stylekit.train(resumed, resume=True, out=tmp_path / "run", steps=210)
    assert resumed.optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 * fixes[-1][1])


@pytest.mark.long
def test_without_a_checkpoint_before_it_returns_to_the_start(tmp_path: Path) -> None:
    content = run(tmp_path / "run", Spoiled(float("nan"), 1), "rollback", checkpoint_every=1000)
    assert [fix["to"] for fix in content["rollbacks"]] == [0]
    assert content["sessions"][-1]["to"] == 200


@pytest.mark.long
def test_a_run_gives_up_after_the_fifth_return(tmp_path: Path) -> None:
    with raises(StylekitError, "went wrong 6 times", "checkpoint"):
        run(tmp_path / "run", Spoiled(float("nan")), "rollback")
