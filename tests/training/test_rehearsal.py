"""The rehearsal: what does not fit is named before training starts, and the method is left as it was."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from stylekit import Method, Player, StylekitError, turn
from stylekit.method import Batch, Terms
from stylekit.training.rehearsal import rehearse
from tests.facts import raises
from tests.line import Line


def batch() -> dict[str, Tensor]:
    return {"content": torch.rand(1, 3, 8, 8)}


def test_a_missing_key_is_reported() -> None:
    with raises(StylekitError, "Line", "'content'", "only style"):
        rehearse(Line(), {"style": torch.rand(1, 3, 8, 8)})


def test_a_turn_of_an_unknown_player_is_reported() -> None:
    class Wrong(Line):
        @turn("lerner")
        def fit(self, batch: Batch, made: Tensor) -> Terms:
            return {"square": made.mean()}

    with raises(StylekitError, "turn 'fit'", "Wrong", "'lerner'", "did you mean 'learner'"):
        rehearse(Wrong(), batch())


def test_a_player_without_a_turn_is_reported() -> None:
    class Idle(Line):
        def players(self) -> dict[str, Player]:
            return {**super().players(), "idler": Player(nn.Conv2d(1, 1, 1))}

    with raises(StylekitError, "player 'idler'", "Idle", "no turn"):
        rehearse(Idle(), batch())


def test_a_parameter_without_a_gradient_is_reported_by_name() -> None:
    class Unused(Line):
        def __init__(self) -> None:
            super().__init__()
            self.value.extra = nn.Parameter(torch.zeros(1))

    with raises(StylekitError, "parameter 'value.extra'", "player 'learner'", "gradient", "requires_grad_(False)"):
        rehearse(Unused(), batch())


def test_a_method_without_forward_whose_turn_uses_its_result_is_reported() -> None:
    class Idle(Method):
        batch_keys = ("content",)

        def __init__(self) -> None:
            super().__init__()
            self.value = nn.Conv2d(3, 3, 1)

        def players(self) -> dict[str, Player]:
            return {"learner": Player(self.value)}

        @turn("learner")
        def fit(self, batch: Batch, made: Tensor) -> Terms:
            return {"square": made.square().mean()}

        def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
            return self.value(content)

    class Forgetful(Idle):
        def forward(self, batch: Batch) -> None:
            self.value(batch["content"])

    with raises(StylekitError, "turn 'fit'", "None", "Idle defines no forward(batch)", "'square'", "test_rehearsal.py"):
        rehearse(Idle(), batch())
    with raises(StylekitError, "turn 'fit'", "Forgetful returns None from forward(batch)"):
        rehearse(Forgetful(), batch())


def test_a_turn_that_does_not_return_scalars_is_reported() -> None:
    class Vector(Line):
        @turn("learner")
        def fit(self, batch: Batch, made: Tensor) -> Terms:
            return {"many": made.mean((0, 2, 3))}

    with raises(StylekitError, "term 'many'", "turn 'fit'", "Vector", "scalar", "(3,)"):
        rehearse(Vector(), batch())

    class Bare(Line):
        @turn("learner")
        def fit(self, batch: Batch, made: Tensor) -> Terms:
            return made.mean()  # type: ignore[return-value]

    with raises(StylekitError, "turn 'fit'", "Bare", "dict", "Tensor"):
        rehearse(Bare(), batch())

    class Nothing(Line):
        @turn("learner")
        def fit(self, batch: Batch, made: Tensor) -> Terms:
            return {}

    with raises(StylekitError, "turn 'fit'", "Nothing", "empty dict"):
        rehearse(Nothing(), batch())


def test_a_turn_without_a_gradient_is_reported() -> None:
    class Flat(Line):
        @turn("learner")
        def fit(self, batch: Batch, made: Tensor) -> Terms:
            return {"square": made.detach().mean()}

    with raises(StylekitError, "turn 'fit'", "Flat", "square", "gradient", "player 'learner'", "detach()"):
        rehearse(Flat(), batch())

    class Frozen(Line):
        def __init__(self) -> None:
            super().__init__()
            self.value.requires_grad_(False)

    with raises(StylekitError, "player 'learner'", "Frozen", "requires_grad"):
        rehearse(Frozen(), batch())


def test_players_that_are_missing_or_of_another_type_are_reported() -> None:
    class Alone(Line):
        def players(self) -> dict[str, Player]:
            return {}

    class Module(Line):
        def players(self) -> dict[str, Player]:
            return {"learner": self.value}  # type: ignore[dict-item]

    with raises(StylekitError, "Alone", 'return {"learner": Player(self.net)}'):
        rehearse(Alone(), batch())
    with raises(StylekitError, "player 'learner'", "Module", "Conv2d", "Player(module)"):
        rehearse(Module(), batch())


def test_a_key_that_a_turn_reads_is_reported() -> None:
    class Deep(Line):
        @turn("learner")
        def fit(self, batch: Batch, made: Tensor) -> Terms:
            return {"square": (made - batch["depth"]).mean()}

    with raises(StylekitError, "Deep", "'depth'", "only content", "batch_keys = ('content', 'depth')"):
        rehearse(Deep(), batch())


def test_what_a_finished_model_would_lack_is_reported() -> None:
    class Typo(Line):
        inference_modules = ("valve",)

    class Mute(Method):
        pass

    class Halved(Method):
        def describe(self, style: Tensor) -> dict[str, Tensor]:
            return {"mean": style.mean((2, 3))}

    class Coded(Method):
        def codes(self, count: int) -> Tensor:
            return torch.randn(count, 4)

    with raises(StylekitError, "inference_modules", "Typo", "'valve'", "did you mean 'value'"):
        rehearse(Typo(), batch())
    pair = {**batch(), "style": torch.rand(1, 3, 8, 8)}
    with raises(StylekitError, "Mute", "stylize(content, style=None)", "describe", "transfer", "sample(count)"):
        rehearse(Mute(), pair)
    with raises(StylekitError, "Halved", "transfer(content, style, strength)"):
        rehearse(Halved(), pair)
    with raises(StylekitError, "Coded", "codes(count)", "sample_from(codes)"):
        rehearse(Coded(), pair)


class Sharing(Method):
    """Two turns of one player that use one graph."""

    batch_keys = ("content",)

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Conv2d(3, 3, 1)

    def players(self) -> dict[str, Player]:
        return {"learner": Player(self.value)}

    def forward(self, batch: Batch) -> Tensor:
        return self.value(batch["content"])

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        return self.value(content).sigmoid()

    @turn("learner")
    def fit(self, batch: Batch, made: Tensor) -> Terms:
        return {"mean": made.square().mean()}

    @turn("learner")
    def again(self, batch: Batch, made: Tensor) -> Terms:
        return {"mean": made.mean()}


class Greedy(Sharing):
    """A second player uses the first one's graph."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Conv2d(3, 3, 1)

    def players(self) -> dict[str, Player]:
        return {**super().players(), "other": Player(self.other)}

    def forward(self, batch: Batch) -> Tensor:
        return self.other(super().forward(batch))

    @turn("other")
    def third(self, batch: Batch, made: Tensor) -> Terms:
        return {"mean": made.square().mean()}


class Chained(Method):
    """Each player's output passes through the other one, whose weights an update changes in place."""

    batch_keys = ("content",)

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

    def players(self) -> dict[str, Player]:
        return {"one": Player(self.one), "two": Player(self.two)}

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return self.two(self.one(batch["content"])), self.one(self.two(batch["content"]))

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        return self.one(content).sigmoid()

    @turn("one")
    def first(self, batch: Batch, made: tuple[Tensor, Tensor]) -> Terms:
        return {"mean": made[0].square().mean()}

    @turn("two")
    def second(self, batch: Batch, made: tuple[Tensor, Tensor]) -> Terms:
        return {"mean": made[1].square().mean()}


def test_turns_of_one_player_may_share_a_graph() -> None:
    assert rehearse(Sharing(), batch()).keys() == {"fit", "again"}


@pytest.mark.parametrize(("kind", "player"), [(Greedy, "other"), (Chained, "two")])
def test_players_that_move_one_after_the_other_may_not_share_a_graph(kind: type[Method], player: str) -> None:
    with raises(StylekitError, f"player {player!r}", kind.__name__, "detach()", "simultaneous = True"):
        rehearse(kind(), batch())


@pytest.mark.parametrize("kind", [Greedy, Chained])
def test_players_that_move_together_may_share_a_graph(kind: type[Method], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind, "simultaneous", True)
    assert len(rehearse(kind(), batch())) == len(kind.turns())


def test_the_rehearsal_changes_no_weight_and_no_buffer_and_leaves_no_gradient() -> None:
    method = Line()
    before = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    assert rehearse(method, batch())["fit"].keys() == {"square"}
    assert all(torch.equal(tensor, before[name]) for name, tensor in method.state_dict().items())
    assert all(parameter.grad is None for parameter in method.parameters())


def test_the_rehearsal_gives_lazy_layers_their_shapes() -> None:
    class Lazy(Line):
        def __init__(self) -> None:
            super().__init__()
            self.value = nn.LazyConv2d(3, 1)

    method = Lazy()
    rehearse(method, batch())
    assert method.value.weight.shape == (3, 3, 1, 1)
