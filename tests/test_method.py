"""Methods, players and turns, without the engine that plays them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stylekit import Method, Player, StylekitError, turn
from stylekit.method import Batch, Capabilities, Statistics, Terms, constant, linear_decay
from tests.facts import raises


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


def test_positional_and_keyword_arguments_are_kept_by_name() -> None:
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
    with raises(TypeError, "turn", "player", "name"):
        turn(lambda self, batch, made: {})


def test_a_player_without_parameters_or_with_a_bad_interval_is_refused() -> None:
    with raises(TypeError, "player", "modules", "parameters"):
        Player("generator")
    with raises(TypeError, "update_every", 1):
        Player(nn.Linear(1, 1), update_every=0)


def test_a_player_may_be_an_image() -> None:
    image = nn.Parameter(torch.zeros(1, 3, 4, 4))
    assert Player(image).parameters == [image]


def test_arguments_are_not_part_of_the_state() -> None:
    assert set(Plain(1).state_dict()) == {"layer.weight", "layer.bias"}


def test_wrong_arguments_are_refused_as_by_any_constructor() -> None:
    with raises(TypeError, "widht"):
        Plain(widht=3)  # type: ignore[call-arg]
    with raises(TypeError, "width"):
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


def test_an_overridden_turn_keeps_its_place_with_its_own_player_and_interval() -> None:
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


def test_player_owns_each_trainable_parameter_once() -> None:
    layer, frozen = nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False)
    shared = nn.Sequential(layer, nn.Linear(2, 1))
    parameters = Player([layer, shared, frozen]).parameters
    assert len(parameters) == 4
    assert {id(p) for p in parameters} == {id(p) for p in shared.parameters()}


def test_player_accepts_one_module_or_any_iterable_of_them() -> None:
    layer = nn.Linear(2, 2)
    for modules in (layer, [layer], (layer,), iter([layer]), nn.ModuleList([layer])):
        player = Player(modules)
        assert [id(p) for p in player.parameters] == [id(layer.weight), id(layer.bias)]
        assert [id(p) for p in player.parameters] == [id(layer.weight), id(layer.bias)]  # an iterator is not used up


def test_player_refuses_unknown_settings() -> None:
    with raises(TypeError, "learning_rate"):
        Player(nn.Linear(1, 1), learning_rate=0.1)  # type: ignore[call-arg]


def test_the_default_optimizer_is_adam_with_the_papers_settings() -> None:
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


def test_the_error_for_an_unsupported_operation_names_the_method() -> None:
    with raises(StylekitError, "Plain", "style"):
        Plain(1).stylize(torch.rand(1, 3, 2, 2))
    with raises(StylekitError, "Plain", "style"):
        Plain(1).stylize(torch.rand(1, 3, 2, 2), torch.rand(1, 3, 2, 2))
    with raises(StylekitError, "Plain", "transfer"):
        Plain(1).transfer(torch.rand(1, 3, 2, 2), {})
    with raises(StylekitError, "Plain", "import"):
        Plain.import_weights({})


def test_a_method_without_players_can_only_stylise() -> None:
    method = Method()
    assert method.players() == {}
    assert method.turns() == []


def test_stylize_calls_describe_and_transfer() -> None:
    class Shade(Method):
        def describe(self, style: Tensor) -> Statistics:
            return {"mean": style.mean((2, 3), keepdim=True)}

        def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
            return content + strength * style["mean"]

    assert Shade.takes_styles()
    assert not Plain.takes_styles()
    styled = Shade().stylize(torch.zeros(2, 3, 4, 4), torch.full((1, 3, 2, 5), 0.5))
    assert torch.equal(styled, torch.full((2, 3, 4, 4), 0.5))


class Copy(Method):
    """Stylises without styles."""

    def stylize(self, content: Tensor, style: Tensor | None = None, *, gain: float = 1.0) -> Tensor:
        return gain * content


class Blend(Method):
    """Accepts style images."""

    def describe(self, style: Tensor) -> Statistics:
        return {"mean": style.mean((2, 3), keepdim=True)}

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0, *, gain: float = 1.0) -> Tensor:
        return gain * content + strength * style["mean"]


class Inks(Method):
    """Has learned styles, and accepts no others."""

    def styles(self) -> dict[str, Statistics]:
        return {"dark": {"ink": torch.full((1, 3, 1, 1), 0.1)}, "light": {"ink": torch.full((1, 3, 1, 1), 0.9)}}

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        return torch.lerp(content, style["ink"].expand_as(content), strength)


class Dots(Method):
    """Draws samples."""

    def sample(self, count: int) -> Tensor:
        return torch.rand(count, 3, 4, 4)


def ones(count: int = 1) -> Tensor:
    return torch.ones(count, 3, 2, 2)


def test_what_a_method_does_follows_from_what_it_defines() -> None:
    does = {
        method: (method.stylizes(), method.takes_styles(), method.samples()) for method in (Copy, Blend, Inks, Dots)
    }
    assert does == {
        Copy: (True, False, False),
        Blend: (True, True, False),
        Inks: (True, False, False),
        Dots: (False, False, True),
    }
    assert not Method.stylizes()
    assert not Method.samples()


def test_the_defaults_of_a_method() -> None:
    method = Copy()
    assert method.capabilities == Capabilities(optimizes=False, exportable=True, thread_safe=False, zero_strength=False)
    assert (method.scale, method.progress, method.reads, method.simultaneous) == (1, 0.0, "folders", False)
    assert method.example(2, 64) is None
    method.prepare()
    assert method.batch_keys == ("content", "style")


def test_the_scale_and_progress_of_one_method_are_not_those_of_another() -> None:
    one, other = Copy(), Copy()
    one.scale, one.progress = 2, 0.5
    assert (other.scale, other.progress) == (1, 0.0)
    assert "scale" not in one.state_dict()


def test_capabilities_cannot_be_changed_for_every_method_by_accident() -> None:
    with raises(AttributeError, "thread_safe"):
        Copy().capabilities.thread_safe = True  # type: ignore[misc]


def test_the_first_learned_style_is_the_default() -> None:
    assert float(Inks().stylize(ones()).mean()) == pytest.approx(0.1)
    with raises(StylekitError, "Inks", "style"):
        Inks().stylize(ones(), ones())


def test_frames_are_stylised_one_by_one() -> None:
    contents = [number * ones() for number in range(3)]
    for content, frame in zip(contents, Copy().frames(iter(contents), gain=0.5), strict=True):
        assert torch.equal(frame, content / 2)
    style = Blend().describe(ones())
    for content, frame in zip(contents, Blend().frames(contents, style, strength=0.5, gain=2.0), strict=True):
        assert torch.equal(frame, 2 * content + 0.5)


def test_frames_are_made_as_they_are_read() -> None:
    read: list[int] = []

    def contents() -> Iterator[Tensor]:
        for number in range(3):
            read.append(number)
            yield ones()

    frames = Copy().frames(contents())
    assert read == []
    next(frames)
    assert read == [0]


def test_a_method_that_does_not_sample_or_stylise_says_so() -> None:
    with raises(StylekitError, "Copy", "samples"):
        Copy().sample(2)
    with raises(StylekitError, "Copy", "style images"):
        Copy().describe(ones())


def test_a_preview_shows_what_the_method_makes() -> None:
    batch = {"content": ones(2), "style": 2 * ones(2)}
    assert list(Copy().preview(batch)) == ["content", "stylised"]
    columns = Blend().preview(batch)
    assert list(columns) == ["content", "style", "stylised"]
    assert float(columns["stylised"].mean()) == 3
    assert float(Inks().preview({"content": ones(2)})["stylised"].mean()) == pytest.approx(0.1)
    assert Dots().preview({"image": ones(5)})["sample"].shape == (5, 3, 4, 4)
