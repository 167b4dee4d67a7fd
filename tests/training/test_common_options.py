"""Options of training that every method has: extra losses, schedules and balance, for methods that know nothing of them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

import stylekit
from stylekit import Method, Player, StylekitError, turn
from stylekit.method import Batch, Terms
from stylekit.training.common_options import CommonOptions, Extra, extra_terms, waits
from stylekit.training.distributed import Runtime
from stylekit.training.plateau import Plateau
from stylekit.training.player_state import PlayerState, player_states
from stylekit.training.rehearsal import rehearse
from stylekit.training.setup import prepare
from stylekit.training.steps import step
from stylekit_plugins.methods.cyclegan import CycleGAN
from tests.facts import raises


class Shifting(Method):
    """Adds a learned constant."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Conv2d(3, 3, 1)

    def players(self) -> dict[str, Player]:
        return {"painter": Player(self.net)}

    def forward(self, batch: Batch) -> Any:
        return self.net(batch["content"])

    @turn("painter")
    def paint(self, batch: Batch, made: Tensor) -> Terms:
        return {"near": (made - batch["content"]).abs().mean()}

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        out: Tensor = self.net(content)
        return out.clamp(0, 1)


class Darker(nn.Module):
    """Half of the reference should give half of the output."""

    def change(self, output: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        return output / 2, reference / 2

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        return (output - reference).abs().mean()


class Silent(Shifting):
    def forward(self, batch: Batch) -> Any:
        return {"painted": self.net(batch["content"])}

    @turn("painter")
    def paint(self, batch: Batch, made: Any) -> Terms:
        return super().paint(batch, made["painted"])


def batch() -> dict[str, Tensor]:
    content, style = torch.rand(2, 2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return {"content": content, "style": style}


def test_terms_are_weighted_means_over_pairs() -> None:
    one, other, third = torch.rand(3, 2, 3, 8, 8)
    terms = Extra(["l1", {"name": "l2", "weight": 3}, {"name": "l1", "weight": 0.5}])(
        [(one, other), (one, third)], list
    )
    absolute = ((one - other).abs().mean() + (one - third).abs().mean()) / 2
    squared = ((one - other).square().mean() + (one - third).square().mean()) / 2
    assert {name: float(term) for name, term in terms.items()} == pytest.approx(
        {"l1": float(absolute), "l2": 3 * float(squared), "l12": float(absolute) / 2}
    )


@pytest.mark.parametrize("weight", ["much", True, None])
def test_a_weight_is_a_number(weight: object) -> None:
    with raises(StylekitError, "weight", repr(weight)):
        Extra([{"name": "l1", "weight": weight}])


def test_a_method_that_returns_its_images_needs_no_change() -> None:
    method, images = Shifting(), batch()
    assert extra_terms(method, "painter", images, method(images)) == {}
    prepare(method, {"extra": ["l2"]})
    made = method(images)
    terms = extra_terms(method, "painter", images, made)
    expected = float((made - images["content"]).square().mean().detach())
    assert float(terms["extra/l2"].detach()) == pytest.approx(expected)
    assert rehearse(method, images)["extra"] == pytest.approx({"extra/l2": expected})


def test_a_method_that_does_not_say_what_it_makes_is_one_error() -> None:
    method, images = Silent(), batch()
    prepare(method, {"extra": ["l2"]})
    with raises(StylekitError, "Silent", "outputs(batch, made)"):
        rehearse(method, images)


def test_cyclegan_compares_both_translations() -> None:
    torch.manual_seed(0)
    method, images = CycleGAN(**CycleGAN.presets["tiny"]), {k: v.repeat(1, 1, 2, 2) for k, v in batch().items()}
    prepare(method, {"extra": ["l1"]})
    made = method(images)
    expected = ((made["fake_b"] - images["content"]).abs().mean() + (made["fake_a"] - images["style"]).abs().mean()) / 2
    found = extra_terms(method, "generator", images, made)["extra/l1"]
    torch.testing.assert_close(found, expected)
    assert extra_terms(method, "discriminator", images, made) == {}


def test_cyclegan_translates_both_changed_images() -> None:
    method, images = CycleGAN(**CycleGAN.presets["tiny"]), {k: v.repeat(1, 1, 2, 2) for k, v in batch().items()}
    prepare(method, {"extra": [Darker]})
    made = method(images)
    (found,) = extra_terms(method, "generator", images, made).values()
    again = method({key: image / 2 for key, image in images.items()})
    pairs = [(again[key], made[key] / 2) for key in ("fake_b", "fake_a")]
    torch.testing.assert_close(found, sum((one - other).abs().mean() for one, other in pairs) / 2)


def test_changed_images_must_be_of_the_batch_and_of_one_output_each() -> None:
    class Copying(Shifting):
        def outputs(self, batch: Batch, made: Any) -> dict[str, list[tuple[Tensor, Tensor]]]:
            return {"painter": [(made, batch["content"].clone())]}

    class Twice(Shifting):
        def outputs(self, batch: Batch, made: Any) -> dict[str, list[tuple[Tensor, Tensor]]]:
            return {"painter": [(made, batch["content"])] * 2}

    images = batch()
    for method in (Copying(), Twice()):
        prepare(method, {"extra": [Darker]})
        with raises(StylekitError, type(method).__name__, "not in the batch", "outputs(batch, made)"):
            extra_terms(method, "painter", images, method(images))


@pytest.mark.slow
def test_a_run_learns_from_them_logs_them_and_resumes(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"preset": "tiny", "size": 32, "workers": 0, "data": "scenes", "seed": 1}
    extra = {"extra": [{"name": "edges", "weight": 100.0}, "warp-consistency", "noise-consistency"]}
    plain = stylekit.train("cyclegan", out=tmp_path / "plain", steps=2, **settings)
    run = stylekit.train("cyclegan", out=tmp_path / "run", steps=2, set=extra, **settings)
    whole = stylekit.train("cyclegan", out=tmp_path / "whole", steps=3, set=extra, **settings)
    stylekit.train(resume=True, out=run, steps=3)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert all(
        line[f"extra/{name}"] > 0 for line in lines for name in ("edges", "warp-consistency", "noise-consistency")
    )
    weights = [stylekit.load(each, "cpu").method.state_dict() for each in (plain, run, whole)]
    key = "generator_ab.model.model.0.weight"
    assert not torch.equal(weights[0][key], weights[1][key])
    assert torch.equal(weights[1][key], weights[2][key])


def rates(method: Method, **options: Any) -> list[float]:
    """The learning rates of the player, relative to the one it states, over the progress of a run."""
    prepare(method, options)
    (state,) = player_states(method)
    found = []
    for tenth in range(11):
        for parameter in state.parameters:
            parameter.grad = torch.zeros_like(parameter)
        state.update(0, tenth / 10)
        found.append(state.optimizer.param_groups[0]["lr"] / state.spec.lr)
    return found


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1.0] * 11),
        ({"schedule": "linear"}, [1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2, 0]),
        ({"schedule": "cosine"}, [(1 + math.cos(math.pi * tenth / 10)) / 2 for tenth in range(11)]),
        ({"schedule": "steps"}, [1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01]),
        ({"warmup": 0.4}, [0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1]),
        ({"schedule": "linear", "warmup": 0.2}, [0, 0.5, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2, 0]),
    ],
    ids=str,
)
def test_any_method_takes_another_schedule(options: dict[str, Any], expected: list[float]) -> None:
    assert rates(Shifting(), **options) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("option", ["warmup", "balance"])
@pytest.mark.parametrize("value", [-0.1, 1.0])
def test_shares_are_below_one(option: str, value: float) -> None:
    with raises(StylekitError, repr(option), value):
        CommonOptions(**{option: value})


@pytest.mark.parametrize(("doubt", "expected"), [(0.1, True), (0.2, False), (0.3, False), (None, False)])
def test_a_discriminator_waits_while_it_wins(doubt: float | None, expected: bool) -> None:
    method = CycleGAN(**CycleGAN.presets["tiny"])
    prepare(method, {"balance": 0.2})
    method.adversary_a.doubt = torch.tensor(0.01)
    method.adversary_b.doubt = None if doubt is None else torch.tensor(doubt)
    both, one = [method.adversary_a, method.adversary_b], [method.adversary_a]
    assert waits(method, both) is (expected or doubt is None)
    assert waits(method, one)
    assert not waits(method, [method.generator_ab])


def test_a_waiting_discriminator_keeps_its_weights_and_the_generator_learns() -> None:
    torch.manual_seed(0)
    method = CycleGAN(**CycleGAN.presets["tiny"])
    prepare(method, {"balance": 0.99})
    images = {key: value.repeat(1, 1, 2, 2) for key, value in batch().items()}
    players = player_states(method)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    runtime = Runtime(Fabric(accelerator="cpu", devices=1))
    for adversary in (method.adversary_a, method.adversary_b):
        adversary._undecided = 1e9  # so that whatever the loss is, it seems to win
    step(method, players, images, 0, 10, runtime)
    moved = {name.split(".")[0] for name, value in method.state_dict().items() if not torch.equal(value, before[name])}
    assert {"generator_ab", "generator_ba"} <= moved
    weights = [name for name in before if name.startswith("adversary_b.discriminator")]
    assert all(torch.equal(method.state_dict()[name], before[name]) for name in weights)


class Averaged(Shifting):
    def players(self) -> dict[str, Player]:
        return {"painter": Player(self.net, ema=0.9, update_every=2)}


def test_a_half_life_is_a_number_of_images() -> None:
    method = Averaged()
    prepare(method, {"half_life": 40.0})
    (state,) = player_states(method, batch_size=4)
    assert state.ema == pytest.approx(0.5**0.2)  # ten steps of four images, of which every second one updates
    start = state.parameters[0].detach().clone()
    state.average[0].copy_(start + 8)
    for parameter in state.parameters:
        parameter.grad = torch.zeros_like(parameter)
    for update in range(5):
        state.update(2 * (1000 + update), 0.0)
    assert float((state.average[0] - start).mean()) == pytest.approx(4, rel=1e-5)


def test_a_half_life_needs_averages() -> None:
    method = Shifting()
    prepare(method, {"half_life": 40.0})
    with raises(StylekitError, "'half_life'", "--set ema=0.999"):
        player_states(method)
    with raises(StylekitError, "'half_life'", 0.0):
        CommonOptions(half_life=0.0)


def changed(**values: Any) -> PlayerState:
    """The state of a player with other values, after a gradient of 3 in each of its 12 elements."""
    method = Shifting()
    prepare(method, {"players": {"painter": values}})
    (state,) = player_states(method)
    for parameter in state.parameters:
        parameter.grad = torch.full_like(parameter, 3.0)
    return state


def clipped(state: PlayerState) -> Tensor:
    """The gradients with which the optimizer steps."""
    kept: list[Tensor] = []

    def keep(*given: Any) -> None:
        kept.extend(parameter.grad.clone().flatten() for parameter in state.parameters if parameter.grad is not None)

    state.optimizer.register_step_pre_hook(keep)
    state.update(0, 0.0)
    return torch.cat(kept)


def test_players_may_have_other_rates_and_limits_of_their_gradients() -> None:
    assert changed(lr=0.5).optimizer.param_groups[0]["lr"] == 0.5  # two time scales, for one player each
    torch.testing.assert_close(clipped(changed()), torch.full((12,), 3.0))
    torch.testing.assert_close(clipped(changed(clip=1.0)), torch.full((12,), 12**-0.5))  # a norm of 1
    torch.testing.assert_close(clipped(changed(clip_value=0.25)), torch.full((12,), 0.25))


def test_a_player_may_be_updated_at_every_nth_step_only() -> None:
    state = changed(update_every=3)
    assert [step for step in range(7) if state.due(step)] == [0, 3, 6]


@pytest.mark.parametrize(
    ("players", "facts"),
    [
        ({"artist": {"lr": 1.0}}, ["'artist'", "painter"]),
        ({"painter": {"rate": 1.0}}, ["'rate'", "lr", "clip"]),
        ({"painter": {"update_every": 2.5}}, ["update_every", 2.5]),
        ({"painter": {"update_every": math.inf}}, ["update_every", "inf"]),
        ({"painter": {"update_every": math.nan}}, ["update_every", "nan"]),
        ({"painter": {"clip": -1.0}}, ["clip=-1.0"]),
        ({"painter": {"clip_value": 0.0}}, ["clip_value=0.0"]),
    ],
    ids=str,
)
def test_wrong_values_of_players_are_refused(players: Any, facts: list[Any]) -> None:
    method = Shifting()
    prepare(method, {"players": players})
    with raises(StylekitError, *facts):
        player_states(method)


def plateau(losses: list[float]) -> tuple[Plateau, list[float]]:
    """Its factors after each hundred updates with the same loss."""
    schedule, factors = Plateau(), []
    for loss in losses:
        for _ in range(100):
            schedule.observe(torch.tensor(loss))
        factors.append(schedule.factor)
    return schedule, factors


def test_a_plateau_lowers_the_rate_after_a_thousand_updates_without_a_lower_loss() -> None:
    falling = [1.0 - share / 100 for share in range(20)]
    assert plateau(falling)[1] == [1.0] * 20
    assert plateau([1.0] * 22)[1] == pytest.approx([1.0] * 10 + [0.1] * 10 + [0.01] * 2)
    assert plateau([1.0] * 9 + [0.9] * 11)[1] == pytest.approx([1.0] * 19 + [0.1])


def test_a_plateau_goes_on_from_its_state() -> None:
    schedule, _ = plateau([1.0] * 8)
    for _ in range(50):
        schedule.observe(torch.tensor(1.0))
    restored = Plateau()
    restored.restore(schedule.state())
    factors = []
    for each in (schedule, restored):
        for _ in range(300):
            each.observe(torch.tensor(1.0))
            factors.append(each.factor)
    assert factors[:300] == factors[300:]
    assert factors[299] == pytest.approx(0.1)


def test_the_players_of_a_run_wait_for_their_own_plateaus() -> None:
    method = Shifting()
    prepare(method, {"schedule": "plateau"})
    players = player_states(method)
    runtime = Runtime(Fabric(accelerator="cpu", devices=1))
    step(method, players, batch(), 0, 10, runtime)
    (loss,) = players[0].state()["plateau"]["losses"]
    assert loss > 0
    players[0].plateau = plateau([1.0] * 11)[0]
    step(method, players, batch(), 1, 10, runtime)
    assert players[0].optimizer.param_groups[0]["lr"] == pytest.approx(2e-5)
    with raises(StylekitError, "'painter'"):
        players[0].restore({**players[0].state(), "plateau": {"factor": "x"}}, Path("a.pt"))
