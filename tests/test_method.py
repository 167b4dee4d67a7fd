"""Methods, players and turns, before any engine plays them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stylekit import Method, Player, StylekitError, turn
from stylekit.method import Batch, Statistics, Terms, constant, linear_decay


class Plain(Method):
    """A method.

    Args:
        width: a number
        part: a part
    """

    def __init__(self, width: int, part: str = "resnet", *, scale: float = 1.0) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)

    @turn("generator")
    def first(self, batch: Batch, made: Tensor) -> Terms:
        return {"one": torch.ones(())}

    @turn("critic", interval=16)
    def second(self, batch: Batch, made: Tensor) -> Terms:
        return {"two": torch.ones(())}


def test_arguments_given_by_place_or_by_name_are_kept_by_name() -> None:
    assert Plain(3, scale=2.0).arguments == {"width": 3, "part": "resnet", "scale": 2.0}
    assert Plain(width=3, part="unet").arguments == {"width": 3, "part": "unet", "scale": 1.0}


def test_defaults_are_kept_so_that_a_later_release_may_change_them() -> None:
    assert Plain(3).arguments == {"width": 3, "part": "resnet", "scale": 1.0}


def test_arguments_passed_on_by_a_subclass_are_kept_by_name() -> None:
    class Passing(Plain):
        def __init__(self, extra: int = 0, **kwargs: Any) -> None:
            super().__init__(**kwargs)

    assert Passing(1, width=3).arguments == {"extra": 1, "width": 3}


def test_arguments_of_one_method_are_not_those_of_another() -> None:
    one, other = Plain(1), Plain(2)
    assert (one.arguments["width"], other.arguments["width"]) == (1, 2)


def test_a_turn_without_a_player_is_refused() -> None:
    with pytest.raises(TypeError, match="marked with its player's name"):
        turn(lambda self, batch, made: {})


def test_a_player_that_moves_nothing_is_refused() -> None:
    with pytest.raises(TypeError, match="has modules or parameters"):
        Player("generator")
    with pytest.raises(TypeError, match="from 1 on"):
        Player(nn.Linear(1, 1), update_every=0)


def test_a_player_may_be_a_picture() -> None:
    picture = nn.Parameter(torch.zeros(1, 3, 4, 4))
    assert Player(picture).parameters == [picture]


def test_arguments_are_no_part_of_the_state() -> None:
    assert set(Plain(1).state_dict()) == {"layer.weight", "layer.bias"}


def test_wrong_arguments_are_refused_as_by_any_constructor() -> None:
    with pytest.raises(TypeError, match="widht"):
        Plain(widht=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="width"):
        Plain()  # type: ignore[call-arg]


def test_turns_are_in_the_order_of_their_definition() -> None:
    assert [(t.name, t.player, t.interval) for t in Plain.turns()] == [
        ("first", "generator", 1),
        ("second", "critic", 16),
    ]


def test_turn_is_played_as_a_function_of_the_method() -> None:
    assert float(Plain.turns()[0].play(Plain(1), {}, None)["one"]) == 1


def test_turns_of_a_subclass_follow_those_of_its_parent() -> None:
    class More(Plain):
        @turn("generator")
        def another(self, batch: Batch, made: Tensor) -> Terms:
            return {}

    assert [t.name for t in More.turns()] == ["first", "second", "another"]


def test_turn_defined_again_takes_its_parents_place_with_its_own_player_and_pace() -> None:
    class Other(Plain):
        @turn("critic", interval=4)
        def first(self, batch: Batch, made: Tensor) -> Terms:
            return {"three": torch.full((), 3.0)}

    turns = Other.turns()
    assert [(t.name, t.player, t.interval) for t in turns] == [("first", "critic", 4), ("second", "critic", 16)]
    assert float(turns[0].play(Other(1), {}, None)["three"]) == 3
    assert Plain.turns()[0].player == "generator"


def test_turn_set_to_none_is_left_out() -> None:
    class Fewer(Plain):
        second = None

    assert [t.name for t in Fewer.turns()] == ["first"]


def test_turns_of_two_parents_are_all_played_once() -> None:
    class Mixin(Method):
        @turn("generator")
        def mixed(self, batch: Batch, made: Tensor) -> Terms:
            return {}

    class Both(Plain, Mixin):
        pass

    assert sorted(t.name for t in Both.turns()) == ["first", "mixed", "second"]


def test_player_owns_each_learning_parameter_once() -> None:
    layer, frozen = nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False)
    shared = nn.Sequential(layer, nn.Linear(2, 1))
    parameters = Player([layer, shared, frozen]).parameters
    assert len(parameters) == 4
    assert {id(p) for p in parameters} == {id(p) for p in shared.parameters()}


def test_player_takes_one_module_or_any_iterable_of_them() -> None:
    layer = nn.Linear(2, 2)
    for modules in (layer, [layer], (layer,), iter([layer]), nn.ModuleList([layer])):
        player = Player(modules)
        assert [id(p) for p in player.parameters] == [id(layer.weight), id(layer.bias)]
        assert [id(p) for p in player.parameters] == [id(layer.weight), id(layer.bias)]  # an iterator is not used up


def test_player_refuses_settings_that_it_does_not_have() -> None:
    with pytest.raises(TypeError, match="learning_rate"):
        Player(nn.Linear(1, 1), learning_rate=0.1)  # type: ignore[call-arg]


def test_players_optimiser_is_adam_as_of_the_papers_unless_another_is_given() -> None:
    player = Player(nn.Linear(1, 1))
    adam = player.optimizer(player.parameters, lr=player.lr)
    assert isinstance(adam, torch.optim.Adam)
    assert adam.defaults["lr"] == 2e-4
    assert adam.defaults["betas"] == (0.5, 0.999)
    sgd = Player(nn.Linear(1, 1), optimizer=torch.optim.SGD)
    assert isinstance(sgd.optimizer(sgd.parameters, lr=0.1), torch.optim.SGD)


def test_schedules() -> None:
    assert [constant(progress) for progress in (0.0, 0.5, 1.0)] == [1, 1, 1]
    assert [linear_decay(progress) for progress in (0.0, 0.5, 0.75, 1.0)] == [1, 1, 0.5, 0]


def test_what_a_method_does_not_define_is_told_by_its_name() -> None:
    with pytest.raises(StylekitError, match="Plain needs a style picture, and none is given"):
        Plain(1).stylize(torch.rand(1, 3, 2, 2))
    with pytest.raises(StylekitError, match="Plain takes no style pictures"):
        Plain(1).stylize(torch.rand(1, 3, 2, 2), torch.rand(1, 3, 2, 2))
    with pytest.raises(StylekitError, match="Plain does not define transfer"):
        Plain(1).transfer(torch.rand(1, 3, 2, 2), {})
    with pytest.raises(StylekitError, match="Plain has no importer"):
        Plain.import_weights({})


def test_method_without_players_only_stylises() -> None:
    method = Method()
    assert method.players() == {}
    assert method.turns() == []


def test_stylize_is_made_of_describe_and_transfer() -> None:
    class Shade(Method):
        def describe(self, style: Tensor) -> Statistics:
            return {"mean": style.mean((2, 3), keepdim=True)}

        def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
            return content + strength * style["mean"]

    assert Shade.takes_styles()
    assert not Plain.takes_styles()
    styled = Shade().stylize(torch.zeros(2, 3, 4, 4), torch.full((1, 3, 2, 5), 0.5))
    assert torch.equal(styled, torch.full((2, 3, 4, 4), 0.5))


def test_preview_shows_content_and_result() -> None:
    class Copy(Method):
        def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
            assert style is not None
            return content + style

    shown = Copy().preview({"content": torch.ones(1, 3, 2, 2), "style": torch.ones(1, 3, 2, 2)})
    assert list(shown) == ["content", "translated"]
    assert float(shown["translated"].mean()) == 2
