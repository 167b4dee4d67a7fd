"""One training step, compared with updates that are computed by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from stylekit import Method, Player, StylekitError, turn
from stylekit.method import Batch, Terms, linear_decay
from stylekit.training.distributed import launch
from stylekit.training.player_state import PlayerState, player_states
from stylekit.training.settings import validate_settings
from stylekit.training.steps import step
from stylekit_plugins.methods.cyclegan import CycleGAN
from tests.facts import raises


def play(
    method: Method,
    batches: Iterable[Batch],
    total: int,
    seen: Callable[[], Any],
    players: list[PlayerState] | None = None,
) -> list[Any]:
    """Trains one step per batch, and returns what ``seen`` returned after each."""
    states = player_states(method) if players is None else players
    values: list[Any] = []

    def work(runtime: Any, settings: Any) -> None:
        for index, batch in enumerate(batches):
            step(method, states, batch, index, total, runtime)
            values.append(seen())

    launch(work, validate_settings({"plugin": "by hand", "device": "cpu"}))
    return values


class Counting(Method):
    """Two turns, one of them lazy; plain gradients, so that an update can be computed by hand."""

    batch_keys = ("content",)

    def __init__(
        self,
        update_every: int = 1,
        schedule: Callable[[float], float] = lambda progress: 1.0,
        clip: float | None = None,
    ) -> None:
        super().__init__()
        self.net = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.net.weight)
        self.player = Player(self.net, 1.0, torch.optim.SGD, schedule, clip, update_every=update_every)

    def players(self) -> dict[str, Player]:
        return {"it": self.player}

    @turn("it")
    def often(self, batch: Batch, made: None) -> Terms:
        return {"one": -self.net.weight.sum()}

    @turn("it", interval=4)
    def seldom(self, batch: Batch, made: None) -> Terms:
        return {"ten": -10 * self.net.weight.sum()}


def weights_after(method: Counting, steps: int, total: int = 100) -> list[float]:
    return play(method, [{}] * steps, total, lambda: float(method.net.weight.detach()))


def test_due_turns_are_summed_and_a_lazy_one_is_scaled_by_its_interval() -> None:
    # Each step moves by 1; steps 0 and 4 by 4 * 10 more.
    assert weights_after(Counting(), 6) == [41, 42, 43, 44, 85, 86]


def test_a_player_that_pauses_is_not_scaled_and_its_lazy_turns_count_its_updates() -> None:
    assert weights_after(Counting(update_every=2), 10) == [41, 41, 42, 42, 43, 43, 44, 44, 85, 85]


def test_the_schedule_is_a_function_of_progress() -> None:
    moves = weights_after(Counting(schedule=linear_decay), 4, total=4)
    assert moves == pytest.approx([41, 42, 43, 43.5])  # factors 1, 1, 1, 0.5


def test_the_gradient_is_clipped_before_the_learning_rate_is_applied() -> None:
    moves = weights_after(Counting(schedule=linear_decay, clip=0.5), 4, total=4)
    assert moves == pytest.approx([0.5, 1, 1.5, 1.75], abs=1e-5)


class Groups(Method):
    """Two numbers in two parameter groups, the second with its own learning rate; each gradient is -1."""

    batch_keys = ("content",)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

    def players(self) -> dict[str, Player]:
        def groups(parameters: list[nn.Parameter], lr: float) -> torch.optim.Optimizer:
            one, two = parameters
            return torch.optim.SGD([{"params": [one]}, {"params": [two], "lr": 0.25}], lr)

        return {"it": Player([self.first, self.second], 1.0, groups, linear_decay)}

    @turn("it")
    def rise(self, batch: Batch, made: None) -> Terms:
        return {"sum": -(self.first + self.second).sum()}

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        return content

    def values(self) -> tuple[float, float]:
        return float(self.first.detach()), float(self.second.detach())


def test_a_parameter_group_keeps_its_own_learning_rate_and_the_schedule_scales_it() -> None:
    method = Groups()
    # Factors 1, 1, 1, 0.5 on the learning rates 1 and 0.25.
    assert play(method, [{}] * 4, 4, method.values) == [(1, 0.25), (2, 0.5), (3, 0.75), (3.5, 0.875)]


def test_a_restored_parameter_group_keeps_its_own_learning_rate() -> None:
    method = Groups()
    (player,) = player_states(method)
    play(method, [{}] * 4, 4, method.values, [player])  # the schedule has halved the learning rates
    (restored,) = player_states(method)
    restored.restore(player.state(), Path("players.safetensors"))
    assert play(method, [{}] * 2, 4, method.values, [restored]) == [(4.5, 1.125), (5.5, 1.375)]


class Single(Method):
    """One value, which the loss pulls to 3."""

    batch_keys = ("content",)
    optimizer: ClassVar[Callable[..., torch.optim.Optimizer]] = torch.optim.Adam

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor([1.0, -2.0]))

    def players(self) -> dict[str, Player]:
        return {"it": Player(self.value, 0.1, type(self).optimizer)}

    def forward(self, batch: Batch) -> Tensor:
        return self.value

    @turn("it")
    def fall(self, batch: Batch, made: Tensor) -> Terms:
        return {"square": (made - 3).square().sum()}


def adam(value: float, count: int) -> float:
    """Algorithm 1 of Kingma and Ba 2015, for the square of the distance to 3."""
    mean = square = 0.0
    for number in range(1, count + 1):
        gradient = 2 * (value - 3)
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        value -= 0.1 * (mean / (1 - 0.9**number)) / ((square / (1 - 0.999**number)) ** 0.5 + 1e-8)
    return value


def test_adam_is_fused_on_a_cpu_and_computes_the_same() -> None:
    method = Single()
    (player,) = player_states(method)
    assert player.optimizer.param_groups[0]["fused"] is True
    play(method, [{}] * 5, 5, method.value.tolist, [player])
    assert method.value.tolist() == pytest.approx([adam(1.0, 5), adam(-2.0, 5)], rel=1e-6)


@pytest.mark.parametrize("options", [{"fused": False}, {"foreach": True}, {"capturable": True}], ids=str)
def test_an_optimizer_stays_as_the_method_builds_it(options: dict[str, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Single, "optimizer", partial(torch.optim.Adam, **options))
    (player,) = player_states(Single())
    assert not player.optimizer.param_groups[0]["fused"]


def test_a_run_goes_on_as_it_was_begun_even_before_adam_was_fused() -> None:
    method = Single()
    (player,) = player_states(method)
    play(method, [{}] * 3, 9, method.value.tolist, [player])
    old = player.state()
    old["optimizer"]["param_groups"][0]["fused"] = None
    (restored,) = player_states(method)
    restored.restore(old, Path("players.safetensors"))
    assert restored.optimizer.param_groups[0]["fused"] is None
    play(method, [{}] * 2, 9, method.value.tolist, [restored])
    assert method.value[0].item() == pytest.approx(adam(1.0, 5), rel=1e-6)
    old["optimizer"]["param_groups"][0]["fused"] = "yes"
    with raises(StylekitError, "'it'", "fused"):
        restored.restore(old, Path("players.safetensors"))


class Normalised(Method):
    """A batch normalisation whose average covers its running statistics."""

    batch_keys = ("content",)

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1, momentum=0.5)

    def players(self) -> dict[str, Player]:
        return {"it": Player(self.norm, 0.1, torch.optim.SGD, ema=0.2)}

    def forward(self, batch: Batch) -> Tensor:
        return self.norm(batch["content"])

    @turn("it")
    def fall(self, batch: Batch, made: Tensor) -> Terms:
        return {"square": (made - 1).square().mean()}


def test_the_vectors_of_a_spectral_norm_are_not_averaged() -> None:
    """Averages of unit vectors are shorter, so the estimate of the singular value would be too small."""
    for norm in (nn.utils.parametrizations.spectral_norm, nn.utils.spectral_norm):
        player = Player(nn.Sequential(norm(nn.Linear(2, 3)), nn.BatchNorm1d(3)), ema=0.9)
        assert [tuple(buffer.shape) for buffer in player.buffers] == [(3,), (3,)]  # the running statistics


def test_averages_cover_floating_point_buffers_by_hand() -> None:
    method = Normalised()
    (player,) = player_states(method)
    assert [tuple(average.shape) for average in player.average] == [(1,)] * 4  # weight, bias, and two buffers
    means = [1.0, 3.0, -2.0, 5.0]
    batches = [{"content": mean + torch.tensor([-1.0, 1.0]).view(1, 1, 1, 2)} for mean in means]
    play(method, batches, 100, lambda: None, [player])
    running, average = 0.0, 0.0
    for index, mean in enumerate(means):
        running = 0.5 * running + 0.5 * mean
        decay = min(0.2, (1 + index) / (10 + index))
        average = decay * average + (1 - decay) * running
    assert float(method.norm.running_mean) == pytest.approx(running)
    weight = method.norm.weight.detach().clone()
    with player.averaged():
        assert float(method.norm.running_mean) == pytest.approx(average)
        assert not torch.equal(method.norm.weight, weight)
        assert int(method.norm.num_batches_tracked) == 4  # whole numbers have no average
    assert float(method.norm.running_mean) == pytest.approx(running)
    assert torch.equal(method.norm.weight, weight)


def test_averaged_buffers_are_part_of_a_players_state() -> None:
    method = Normalised()
    (player,) = player_states(method)
    play(method, [{"content": torch.rand(2, 1, 3, 3)}], 100, lambda: None, [player])
    (restored,) = player_states(Normalised())
    restored.restore(player.state(), Path("players.safetensors"))
    assert all(map(torch.equal, restored.average, player.average))
    assert not torch.equal(player.average[2], torch.zeros(1))  # the running mean


class Duel(Method):
    """A bilinear game: one number minimises the product, the other maximises it; a third takes part in both terms."""

    batch_keys = ("content",)
    simultaneous = True
    calls: int = 0

    def __init__(self, rest: int = 1) -> None:
        super().__init__()
        self.x, self.y = nn.Parameter(torch.tensor(1.0)), nn.Parameter(torch.tensor(2.0))
        self.rest = rest

    def players(self) -> dict[str, Player]:
        return {
            "x": Player(self.x, 0.1, torch.optim.SGD),
            "y": Player(self.y, 0.2, torch.optim.SGD, update_every=self.rest),
        }

    def forward(self, batch: Batch) -> Tensor:
        self.calls += 1
        return self.x * self.y

    @turn("x")
    def minimise(self, batch: Batch, made: Tensor) -> Terms:
        return {"product": made}

    @turn("y")
    def maximise(self, batch: Batch, made: Tensor) -> Terms:
        return {"product": -made}

    def values(self) -> tuple[float, float]:
        return float(self.x.detach()), float(self.y.detach())


@pytest.mark.parametrize("rest", [1, 2])
def test_simultaneous_players_share_one_graph_and_move_after_all_gradients(rest: int) -> None:
    method = Duel(rest)
    moves = play(method, [{}] * 5, 5, method.values)
    x, y = 1.0, 2.0
    for index, found in enumerate(moves):
        x, y = x - 0.1 * y, y + 0.2 * x * (index % rest == 0)
        assert found == pytest.approx((x, y), rel=1e-6), index
    assert method.calls == 5  # one graph per step


def test_players_move_one_after_the_other_by_default() -> None:
    class Alternating(Duel):
        simultaneous = False

        @turn("y")
        def maximise(self, batch: Batch, made: Tensor) -> Terms:
            return {"product": -self.x * self.y}

    method = Alternating()
    x, y = 1.0, 2.0
    for found in play(method, [{}] * 5, 5, method.values):
        x = x - 0.1 * y
        y = y + 0.2 * x  # with the new x
        assert found == pytest.approx((x, y), rel=1e-6)


def test_progress_is_the_share_of_steps_before_this_one() -> None:
    class Watching(Counting):
        seen: ClassVar[list[float]] = []

        def forward(self, batch: Batch) -> None:
            self.seen.append(self.progress)

        @turn("it")
        def often(self, batch: Batch, made: None) -> Terms:
            assert self.progress == self.seen[-1]
            return {"one": -self.net.weight.sum()}

    method = Watching()
    assert method.progress == 0
    weights_after(method, 4, total=8)
    assert Watching.seen == [0, 1 / 8, 2 / 8, 3 / 8]


@pytest.mark.slow
@pytest.mark.parametrize("pool", [0, 2])
def test_a_step_reads_no_value_from_the_device(pool: int) -> None:
    """A tensor on the meta device has no values, and fails where one is read, as a GPU would make the CPU wait."""
    torch.manual_seed(0)
    tiny = CycleGAN.presets["tiny"]
    method = CycleGAN(**tiny, pool=pool).to("meta")
    states = player_states(method)
    for state in states:
        state.spec.clip = 1.0
    batch = {key: torch.empty(2, 3, 32, 32, device="meta") for key in ("content", "style")}

    def work(runtime: Any, settings: Any) -> None:
        for index in range(3):  # the pool is full from the second step on
            losses = step(method, states, batch, index, 10, runtime)
            assert {loss.device.type for loss in losses.values()} == {"meta"}
            assert {loss.shape for loss in losses.values()} == {()}
            with pytest.raises(RuntimeError, match="meta"):
                next(iter(losses.values())).item()

    launch(work, validate_settings({"plugin": "cyclegan", "device": "cpu"}))
    assert method.adversary_a.pool.seen == 6 * (pool > 0)
