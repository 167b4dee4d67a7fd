"""The rehearsal: what does not fit is named before training begins, and nothing is left behind."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from stylekit import Method, Player, StylekitError, turn
from stylekit.method import Batch, Terms
from stylekit.training.rehearsal import rehearse
from tests.line import Line


def batch() -> dict[str, Tensor]:
    return {"content": torch.rand(1, 3, 8, 8)}


def test_rehearsal_reports_a_missing_key() -> None:
    with pytest.raises(StylekitError, match="Line needs 'content' in a batch, and the data set gives only style"):
        rehearse(Line(), {"style": torch.rand(1, 3, 8, 8)})


def test_rehearsal_reports_a_turn_without_a_player() -> None:
    class Wrong(Line):
        @turn("lerner")
        def fit(self, batch: Batch, made: Tensor) -> Terms:
            return {"square": made.mean()}

    with pytest.raises(StylekitError, match=r"The turn 'fit' of Wrong is for 'lerner'\. Did you mean 'learner'"):
        rehearse(Wrong(), batch())


def test_rehearsal_reports_a_player_without_a_turn() -> None:
    class Idle(Line):
        def players(self) -> dict[str, Player]:
            return {**super().players(), "idler": Player(nn.Conv2d(1, 1, 1))}

    with pytest.raises(StylekitError, match="The player 'idler' of Idle has no turn"):
        rehearse(Idle(), batch())


def test_rehearsal_reports_a_parameter_without_gradient_by_name() -> None:
    class Unused(Line):
        def __init__(self) -> None:
            super().__init__()
            self.value.extra = nn.Parameter(torch.zeros(1))

    with pytest.raises(StylekitError, match=r"parameter 'value.extra' of the player 'learner' gets no gradient"):
        rehearse(Unused(), batch())


def test_rehearsal_reports_a_turn_that_gives_no_scalars() -> None:
    class Vector(Line):
        @turn("learner")
        def fit(self, batch: Batch, made: Tensor) -> Terms:
            return {"many": made.mean((0, 2, 3))}

    with pytest.raises(StylekitError, match=r"term 'many' of the turn 'fit' of Vector must be .* of shape \(3,\)"):
        rehearse(Vector(), batch())

    class Bare(Line):
        @turn("learner")
        def fit(self, batch: Batch, made: Tensor) -> Terms:
            return made.mean()  # type: ignore[return-value]

    with pytest.raises(
        StylekitError, match="'fit' of Bare must return a dict of named scalar tensors, and gave Tensor"
    ):
        rehearse(Bare(), batch())


def test_rehearsal_reports_a_turn_without_gradient() -> None:
    class Flat(Line):
        @turn("learner")
        def fit(self, batch: Batch, made: Tensor) -> Terms:
            return {"square": made.detach().mean()}

    told = r"The turn 'fit' of Flat gives square without a gradient, so the player 'learner' learns nothing from it\."
    with pytest.raises(StylekitError, match=told):
        rehearse(Flat(), batch())

    class Frozen(Line):
        def __init__(self) -> None:
            super().__init__()
            self.value.requires_grad_(False)

    with pytest.raises(StylekitError, match="The player 'learner' of Frozen has no parameter that learns"):
        rehearse(Frozen(), batch())


def test_rehearsal_reports_players_that_are_none() -> None:
    class Alone(Line):
        def players(self) -> dict[str, Player]:
            return {}

    class Module(Line):
        def players(self) -> dict[str, Player]:
            return {"learner": self.value}  # type: ignore[dict-item]

    with pytest.raises(StylekitError, match=r'define players\(\), as in return \{"learner": Player\(self\.net\)\}'):
        rehearse(Alone(), batch())
    with pytest.raises(StylekitError, match=r"'learner' of Module is of the type Conv2d: give Player\(module\)"):
        rehearse(Module(), batch())


def test_rehearsal_reports_a_key_that_a_turn_asks_for() -> None:
    class Deep(Line):
        @turn("learner")
        def fit(self, batch: Batch, made: Tensor) -> Terms:
            return {"square": (made - batch["depth"]).mean()}

    with pytest.raises(StylekitError, match=r"Deep asks its batch for 'depth', which has only content\. Name what it"):
        rehearse(Deep(), batch())


def test_rehearsal_reports_what_the_finished_model_would_lack() -> None:
    class Typo(Line):
        inference_modules = ("valve",)

    class Mute(Method):
        pass

    with pytest.raises(StylekitError, match=r"Typo ships 'valve', which it does not have\. Did you mean 'value'\?"):
        rehearse(Typo(), batch())
    with pytest.raises(StylekitError, match=r"Mute defines neither stylize\(content, style=None\) nor describe and"):
        rehearse(Mute(), {**batch(), "style": torch.rand(1, 3, 8, 8)})


def test_turns_of_one_player_may_share_a_graph_and_two_players_may_not() -> None:
    class Sharing(Line):
        @turn("learner")
        def again(self, batch: Batch, made: Tensor) -> Terms:
            return {"mean": made.mean()}

    assert rehearse(Sharing(), batch()).keys() == {"fit", "again"}

    class Greedy(Sharing):
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
        """Each player's output goes through the other, whose weights an update changes in place."""

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

    with pytest.raises(StylekitError, match=r"'two' of Chained learns through what forward made"):
        rehearse(Chained(), batch())
    told = r"'other' of Greedy learns through what forward made for another player\. Make it anew in that turn, detach"
    with pytest.raises(StylekitError, match=told):
        rehearse(Greedy(), batch())


def test_rehearsal_changes_no_weight_no_buffer_and_leaves_no_gradient() -> None:
    method = Line()
    before = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    assert rehearse(method, batch())["fit"].keys() == {"square"}
    assert all(torch.equal(tensor, before[name]) for name, tensor in method.state_dict().items())
    assert all(parameter.grad is None for parameter in method.parameters())


def test_rehearsal_gives_lazy_layers_their_shapes() -> None:
    class Lazy(Line):
        def __init__(self) -> None:
            super().__init__()
            self.value = nn.LazyConv2d(3, 1)

    method = Lazy()
    rehearse(method, batch())
    assert method.value.weight.shape == (3, 3, 1, 1)
