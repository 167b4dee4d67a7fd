"""Building parts by name, mapping or callable, and checking options against the constructor's signature."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

import pydantic
import pytest
from torch import nn

from stylekit import Part, StylekitError, make
from stylekit.registry.parts import arguments, override, resolve_part, validate
from stylekit_plugins.generators.resnet import ResNet


class Sample:
    """A part to build.

    More about it, with a colon: here.

    Args:
        count: how many; a line that goes on
            in the next one
        part: a part
        mode: one of two
        scale: a factor

    Raises:
        ValueError: never
    """

    def __init__(
        self, count: int, part: Part = "resnet", mode: Literal["wet", "dry"] = "wet", *, scale: float | None = None
    ) -> None:
        self.given = (count, part, mode, scale)


class Settings(pydantic.BaseModel):
    depth: int = 3


def test_name_builds_the_registered_part_with_its_defaults() -> None:
    network = make("discriminator", "patch")
    assert type(network).__name__ == "Patch"
    assert network.min_size == 24


def test_mapping_builds_the_part_with_options() -> None:
    network = make("generator", {"name": "resnet", "blocks": 2, "width": 4})
    assert network.model[1].weight.shape == (4, 3, 7, 7)
    assert sum("ResBlock" in type(layer).__name__ for layer in network.model) == 2


def test_mapping_is_not_changed() -> None:
    spec = {"name": "resnet", "blocks": 1, "width": 4}
    make("generator", spec)
    assert spec == {"name": "resnet", "blocks": 1, "width": 4}


@pytest.mark.parametrize(
    "spec",
    [
        lambda: ResNet(blocks=1, width=4),
        functools.partial(ResNet, blocks=1, width=4),
        functools.partial(ResNet, 1, 4),
    ],
    ids=["function", "partial by name", "partial by place"],
)
def test_callable_is_called(spec: Callable[..., nn.Module]) -> None:
    network = make("generator", spec)
    assert isinstance(network, ResNet)
    assert network.model[1].weight.shape[0] == 4


def test_class_is_called_with_further_options() -> None:
    assert make("generator", ResNet, blocks=1, width=4).model[1].weight.shape[0] == 4


def test_the_specifications_own_options_go_before_further_ones() -> None:
    network = make("generator", {"name": "resnet", "blocks": 1, "width": 4}, width=8)
    assert network.model[1].weight.shape[0] == 4


def test_unknown_name_is_answered_with_the_nearest_one_and_all() -> None:
    with pytest.raises(
        StylekitError, match=r"There is no generator 'resnett'\. Did you mean 'resnet'\? There are: .*unet"
    ):
        make("generator", "resnett")


def test_unknown_option_is_answered_with_the_nearest_one_and_all() -> None:
    with pytest.raises(
        StylekitError,
        match=r"The generator 'resnet' has no option 'block'\. Did you mean 'blocks'\? There are: .*width",
    ):
        make("generator", {"name": "resnet", "block": 6})


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("blocks", "many", "integer"),
        ("blocks", 6.5, "integer"),
        ("blocks", None, "integer"),
        ("dropout", "half", "number"),
        ("norm", "layer", "'instance', 'batch' or 'none'"),
        ("width", [64], "integer"),
    ],
)
def test_value_of_the_wrong_type_is_refused_with_the_reason_and_the_default(
    option: str, value: object, reason: str
) -> None:
    default = arguments(ResNet)[option].default
    with pytest.raises(StylekitError) as caught:
        make("generator", {"name": "resnet", option: value})
    message = str(caught.value)
    assert f"{option!r} of the generator 'resnet' cannot be {value!r}" in message
    assert reason in message
    assert f"(default: {default!r})" in message


@pytest.mark.parametrize(("given", "value"), [("6", 6), (6, 6), (6.0, 6)])
def test_numbers_written_as_text_are_converted(given: object, value: int) -> None:
    assert validate(ResNet, {"blocks": given}, "generator") == {"blocks": value}


def test_missing_option_is_told_with_its_help() -> None:
    with pytest.raises(StylekitError, match="needs the option 'count': how many; a line that goes on in the next one"):
        validate(Sample, {}, "sample")


def test_built_module_in_place_of_a_class_is_refused() -> None:
    with pytest.raises(StylekitError, match="given as its class or a function that builds it, not as a built Identity"):
        make("generator", nn.Identity())


def test_mapping_without_a_name_is_refused() -> None:
    with pytest.raises(
        StylekitError, match=r"A generator with options needs its name: \{'name': \.\.\., 'blocks': 6\}"
    ):
        make("generator", {"blocks": 6})


@pytest.mark.parametrize("options", [{"depth": 5}, {"depth": "5"}])
def test_type_with_a_schema_of_its_own_is_checked_by_it(options: dict[str, object]) -> None:
    def build(settings: Settings) -> Settings:
        return settings

    assert validate(build, {"settings": options}, "sample")["settings"] == Settings(depth=5)


def test_type_with_a_schema_of_its_own_refuses_in_the_same_words() -> None:
    def build(settings: Settings) -> Settings:
        return settings

    with pytest.raises(StylekitError, match="'settings' of the sample cannot be"):
        validate(build, {"settings": {"depth": "deep"}}, "sample")


def test_any_class_may_be_a_type() -> None:
    def build(layer: nn.Module) -> nn.Module:
        return layer

    layer = nn.Identity()
    assert validate(build, {"layer": layer}, "sample")["layer"] is layer
    with pytest.raises(StylekitError, match="'layer' of the sample cannot be 3"):
        validate(build, {"layer": 3}, "sample")


@pytest.mark.parametrize("part", ["unet", {"name": "unet", "downs": 5}, ResNet])
def test_part_may_be_a_name_a_mapping_or_a_callable(part: Part) -> None:
    assert validate(Sample, {"part": part, "count": 1}, "sample")["part"] == part


def test_part_may_not_be_a_number() -> None:
    with pytest.raises(StylekitError, match="'part' of the sample cannot be 7"):
        validate(Sample, {"part": 7, "count": 1}, "sample")


def test_arguments_come_with_type_default_and_help() -> None:
    known = arguments(Sample)
    assert list(known) == ["count", "part", "mode", "scale"]
    assert known["count"].type is int
    assert known["count"].required
    assert known["mode"].default == "wet"
    assert not known["mode"].required
    assert known["scale"].default is None
    assert {name: argument.help for name, argument in known.items()} == {
        "count": "how many; a line that goes on in the next one",
        "part": "a part",
        "mode": "one of two",
        "scale": "a factor",
    }


def test_arguments_may_be_documented_at_the_constructor() -> None:
    class Late:
        def __init__(self, count: int = 1) -> None:
            """Builds it.

            Args:
                count: how many
            """

    assert arguments(Late)["count"].help == "how many"


def test_arguments_without_types_or_help_are_taken_as_they_are() -> None:
    assert validate(lambda size=3: size, {"size": "anything"}, "sample") == {"size": "anything"}
    assert arguments(lambda size=3: size)["size"].help == ""


def test_arguments_of_a_dataclass_are_its_fields() -> None:
    @dataclasses.dataclass
    class Point:
        x: int
        y: int = 2

    assert [(a.name, a.required) for a in arguments(Point).values()] == [("x", True), ("y", False)]


def test_arguments_collected_by_stars_cannot_be_set_by_name() -> None:
    def build(*layers: int, width: int = 1, **rest: Any) -> None:
        pass

    assert list(arguments(build)) == ["width"]


def test_class_without_a_constructor_takes_no_arguments() -> None:
    class Empty(nn.Module):
        pass

    assert arguments(Empty) == {}
    with pytest.raises(StylekitError, match="has no option 'width'"):
        make("generator", Empty, width=3)


def changed(base: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    return override(Sample, base, {key.replace("__", "."): value for key, value in changes.items()}, "sample")


def test_change_replaces_an_argument() -> None:
    assert changed({"count": 1, "mode": "dry"}, count=2) == {"count": 2, "mode": "dry"}


def test_dotted_change_reaches_into_a_mapping() -> None:
    base = {"part": {"name": "resnet", "blocks": 9}}
    assert changed(base, part__blocks=3) == {"part": {"name": "resnet", "blocks": 3}}
    assert base == {"part": {"name": "resnet", "blocks": 9}}


def test_dotted_change_reaches_into_a_name() -> None:
    assert changed({"part": "unet"}, part__downs=5) == {"part": {"name": "unet", "downs": 5}}


def test_dotted_change_reaches_into_the_default() -> None:
    assert changed({}, part__blocks=3) == {"part": {"name": "resnet", "blocks": 3}}


def test_several_dotted_changes_add_up() -> None:
    assert changed({}, part__blocks=3, part__width=8) == {"part": {"name": "resnet", "blocks": 3, "width": 8}}


@pytest.mark.parametrize("order", [1, -1])
def test_part_is_replaced_before_its_options_are_changed_in_whatever_order_they_are_given(order: int) -> None:
    changes = dict([("part", "unet"), ("part.downs", 5)][::order])
    result = override(Sample, {"part": {"name": "resnet", "blocks": 9}}, changes, "sample")
    assert result == {"part": {"name": "unet", "downs": 5}}


@pytest.mark.parametrize("key", ["cuont", "cuont.width"])
def test_change_of_an_unknown_argument_is_refused(key: str) -> None:
    with pytest.raises(StylekitError, match=r"The sample has no option 'cuont'\. Did you mean 'count'\?"):
        override(Sample, {}, {key: 1}, "sample")


def test_dotted_change_of_what_has_no_options_is_refused() -> None:
    with pytest.raises(StylekitError, match=r"'scale\.x' of the sample reaches into 'scale', which is None"):
        override(Sample, {}, {"scale.x": 1}, "sample")


def test_part_is_called_by_its_kind_and_name_in_messages() -> None:
    assert resolve_part("generator", "resnet")[2] == "generator 'resnet'"
    assert resolve_part("generator", {"name": "resnet", "width": 1})[2] == "generator 'resnet'"
    assert resolve_part("generator", ResNet)[2] == "generator 'ResNet'"
