"""What a callable accepts, read from its signature: types, defaults, help, conversion, changes and paths."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import pytest
import torch
from torch import Tensor, nn

from stylekit import Part, StylekitError
from stylekit.registry.schema import (
    Argument,
    absolute_paths,
    arguments,
    keyword_arguments,
    override,
    unwrap_partial,
    validate,
    validate_arguments,
)
from stylekit_plugins.generators.resnet import ResNet
from tests.facts import raises


class Sample:
    """A part to build.

    More text, with a colon: here.

    Args:
        count: how many; a line that continues
            on the next line
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


@pytest.mark.parametrize(("given", "value"), [("6", 6), (6, 6), (6.0, 6)])
def test_numbers_written_as_text_are_converted(given: object, value: int) -> None:
    assert validate(ResNet, {"blocks": given}, "generator") == {"blocks": value}


def test_the_error_for_a_missing_option_has_its_help() -> None:
    with raises(StylekitError, "'count'", "how many; a line that continues on the next line"):
        validate(Sample, {}, "sample")


@pytest.mark.parametrize("options", [{"depth": 5}, {"depth": "5"}])
def test_a_type_with_its_own_schema_is_validated_by_it(options: dict[str, object]) -> None:
    def build(settings: Settings) -> Settings:
        return settings

    assert validate(build, {"settings": options}, "sample")["settings"] == Settings(depth=5)


def test_the_error_of_a_type_with_its_own_schema_names_the_option() -> None:
    def build(settings: Settings) -> Settings:
        return settings

    with raises(StylekitError, "'settings'", "sample", "'deep'"):
        validate(build, {"settings": {"depth": "deep"}}, "sample")


def test_any_class_may_be_a_type() -> None:
    def build(layer: nn.Module) -> nn.Module:
        return layer

    layer = nn.Identity()
    assert validate(build, {"layer": layer}, "sample")["layer"] is layer
    with raises(StylekitError, "'layer'", "sample", 3):
        validate(build, {"layer": 3}, "sample")


@pytest.mark.parametrize("part", ["unet", {"name": "unet", "downs": 5}, ResNet])
def test_a_part_may_be_a_name_a_mapping_or_a_callable(part: Part) -> None:
    assert validate(Sample, {"part": part, "count": 1}, "sample")["part"] == part


def test_a_part_may_not_be_a_number() -> None:
    with raises(StylekitError, "'part'", "sample", 7):
        validate(Sample, {"part": 7, "count": 1}, "sample")


def test_arguments_have_a_type_a_default_and_help() -> None:
    known = arguments(Sample)
    assert list(known) == ["count", "part", "mode", "scale"]
    assert known["count"].type is int
    assert known["count"].required
    assert known["mode"].default == "wet"
    assert not known["mode"].required
    assert known["scale"].default is None
    assert {name: argument.help for name, argument in known.items()} == {
        "count": "how many; a line that continues on the next line",
        "part": "a part",
        "mode": "one of two",
        "scale": "a factor",
    }


def test_arguments_may_be_documented_in_the_constructor() -> None:
    class Late:
        def __init__(self, count: int = 1) -> None:
            """Builds it.

            Args:
                count: how many
            """

    assert arguments(Late)["count"].help == "how many"


def test_arguments_without_types_or_help_are_not_converted() -> None:
    assert validate(lambda size=3: size, {"size": "anything"}, "sample") == {"size": "anything"}
    assert arguments(lambda size=3: size)["size"].help == ""


def test_arguments_of_a_dataclass_are_its_fields() -> None:
    @dataclasses.dataclass
    class Point:
        x: int
        y: int = 2

    assert [(a.name, a.required) for a in arguments(Point).values()] == [("x", True), ("y", False)]


def test_variadic_arguments_cannot_be_set_by_name() -> None:
    def build(*layers: int, width: int = 1, **rest: Any) -> None:
        pass

    assert list(arguments(build)) == ["width"]


def changed(base: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    return override(
        arguments(Sample), base, {key.replace("__", "."): value for key, value in changes.items()}, "sample"
    )


def test_a_change_replaces_an_argument() -> None:
    assert changed({"count": 1, "mode": "dry"}, count=2) == {"count": 2, "mode": "dry"}


def test_a_dotted_change_sets_an_option_in_a_mapping() -> None:
    base = {"part": {"name": "resnet", "blocks": 9}}
    assert changed(base, part__blocks=3) == {"part": {"name": "resnet", "blocks": 3}}
    assert base == {"part": {"name": "resnet", "blocks": 9}}


def test_a_dotted_change_sets_an_option_of_a_named_part() -> None:
    assert changed({"part": "unet"}, part__downs=5) == {"part": {"name": "unet", "downs": 5}}


def test_a_dotted_change_sets_an_option_of_the_default() -> None:
    assert changed({}, part__blocks=3) == {"part": {"name": "resnet", "blocks": 3}}


def test_several_dotted_changes_are_combined() -> None:
    assert changed({}, part__blocks=3, part__width=8) == {"part": {"name": "resnet", "blocks": 3, "width": 8}}


@pytest.mark.parametrize("order", [1, -1])
def test_a_part_is_replaced_before_its_options_are_changed_whatever_the_order(order: int) -> None:
    changes = dict([("part", "unet"), ("part.downs", 5)][::order])
    result = override(arguments(Sample), {"part": {"name": "resnet", "blocks": 9}}, changes, "sample")
    assert result == {"part": {"name": "unet", "downs": 5}}


@pytest.mark.parametrize("key", ["cuont", "cuont.width"])
def test_a_change_of_an_unknown_argument_is_refused(key: str) -> None:
    with raises(StylekitError, "sample", "'cuont'", "did you mean 'count'"):
        override(arguments(Sample), {}, {key: 1}, "sample")


def test_a_dotted_change_of_an_argument_without_options_is_refused() -> None:
    with raises(StylekitError, "'scale.x'", "sample", "'scale'", "None"):
        override(arguments(Sample), {}, {"scale.x": 1}, "sample")


# Keyword-only arguments


def stylize(
    content: Tensor,
    style: Tensor | None = None,
    *,
    direction: Literal["there", "back"] = "there",
    mask: Tensor,
    steps: int = 3,
    **more: Any,
) -> Tensor:
    """Stylises.

    Args:
        content: images
        direction: which way
        mask: where
    """
    return content


def test_keyword_arguments_are_those_behind_the_star() -> None:
    known = keyword_arguments(stylize)
    assert list(known) == ["direction", "mask", "steps"]
    assert all(argument.keyword_only for argument in known.values())
    assert (known["direction"].default, known["direction"].help) == ("there", "which way")
    assert known["mask"].required
    assert known["steps"].help == ""
    assert [name for name, argument in arguments(stylize).items() if not argument.keyword_only] == ["content", "style"]
    assert keyword_arguments(lambda content, style=None: content) == {}


def test_keyword_arguments_of_a_function_of_a_class_leave_self_out() -> None:
    class Method:
        def sample(self, count: int, *, label: int = 0) -> None:
            """Draws.

            Args:
                label: number of the class
            """

    assert list(keyword_arguments(Method.sample)) == list(keyword_arguments(Method().sample)) == ["label"]
    assert keyword_arguments(Method.sample)["label"].help == "number of the class"


def test_keyword_arguments_are_validated_like_any() -> None:
    known = keyword_arguments(stylize)
    image = torch.rand(1, 3, 2, 2)
    assert validate_arguments(known, {"mask": image, "steps": "4"}, "method") == {"mask": image, "steps": 4}
    with raises(StylekitError, "method", "'mask'", "where"):
        validate_arguments(known, {"direction": "back"}, "method")
    with raises(StylekitError, "'direction'", "'up'", "'there' or 'back'"):
        validate_arguments(known, {"mask": image, "direction": "up"}, "method")
    with raises(StylekitError, "'content'", "direction, mask, steps"):
        validate_arguments(known, {"content": image}, "method")


@pytest.mark.parametrize("build", [functools.partial(Sample, 3), functools.partial(functools.partial(Sample), count=3)])
def test_a_partial_is_described_like_the_class_behind_it(build: Callable[..., Sample]) -> None:
    assert unwrap_partial(build) is Sample
    known = arguments(build)
    assert known["mode"].type == arguments(Sample)["mode"].type
    assert known["mode"].help == "one of two"
    assert not any(argument.required for argument in known.values())


# Types


def argument(annotation: Any) -> Argument:
    return Argument("name", annotation, None, "")


@pytest.mark.parametrize(
    ("annotation", "kinds"),
    [
        (Path, {Path}),
        (Path | None, {Path}),
        (str | Path, {Path, str}),
        (Sequence[Path], {Path}),
        (Sequence[Path | str] | None, {Path, str}),
        (tuple[Path, ...], {Path}),
        (dict[str, Path], {Path, str}),
        (Annotated[Path, "a folder"], {Path}),
        (Tensor, {Tensor}),
        (Tensor | None, {Tensor}),
        (list[Tensor], {Tensor}),
        (str, {str}),
        (Literal["Path"], set()),
        (int | None, set()),
        (Any, set()),
    ],
    ids=str,
)
def test_an_argument_accepts_a_type_if_its_own_contains_it(annotation: Any, kinds: set[type]) -> None:
    assert {kind for kind in (Path, Tensor, str) if argument(annotation).accepts(kind)} == kinds


def test_types_are_read_from_the_signature() -> None:
    def build(
        content: str | Path | None = None, styles: Sequence[Path] = (), *, mask: Tensor | None = None, name: str = ""
    ) -> None: ...

    known = arguments(build)
    assert [name for name, argument in known.items() if argument.accepts(Path)] == ["content", "styles"]
    assert [name for name, argument in known.items() if argument.accepts(Tensor)] == ["mask"]


# Paths


def paths(
    folder: Path | None = None,
    files: Sequence[Path | str] = (),
    name: str = "",
    part: Part = "",
    count: int = 0,
) -> None: ...


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "photo").mkdir()
    for name in ("photo/a.png", "la_muse", "b.png"):
        (tmp_path / name).touch()
    return tmp_path


def absolute(**given: Any) -> dict[str, Any]:
    return absolute_paths(arguments(paths), given)


def test_a_path_by_its_type_becomes_absolute(here: Path) -> None:
    assert absolute(folder="photo") == {"folder": str(here / "photo")}
    assert absolute(folder="./photo/a.png") == {"folder": str(here / "photo/a.png")}
    assert absolute(folder="~/b.png") == {"folder": str(here / "b.png")}
    assert absolute(folder=Path("later")) == {"folder": str(here / "later")}
    assert absolute(folder=here / "photo") == {"folder": str(here / "photo")}


def test_paths_in_a_list_become_absolute(here: Path) -> None:
    given = ["la_muse", Path("b.png"), "nothing"]
    expected = [str(here / "la_muse"), str(here / "b.png"), "nothing"]
    assert absolute(files=given) == absolute(files=tuple(given)) == {"files": expected}


def test_a_name_is_not_a_path_even_if_a_file_has_that_name(here: Path) -> None:
    for name in ("photo", "la_muse", "unknown", "unknown/b.png"):
        assert absolute(name=name, part=name) == {"name": name, "part": name}
    assert absolute(folder="unknown") == {"folder": "unknown"}


def test_within_the_options_of_a_part_a_string_is_a_path_if_it_looks_like_one_and_exists(here: Path) -> None:
    given = {
        "name": "photo",
        "weights": "b.png",
        "layers": ["photo/a.png", "la_muse", "gone.png"],
        "more": {"x": "b.png"},
    }
    assert absolute(part=given) == {
        "part": {
            "name": "photo",
            "weights": str(here / "b.png"),
            "layers": [str(here / "photo/a.png"), "la_muse", "gone.png"],
            "more": {"x": str(here / "b.png")},
        }
    }
    assert given["weights"] == "b.png"


def test_other_values_stay_as_they_are(here: Path) -> None:
    given = {"count": 3, "folder": None, "part": ResNet, "unknown": 0.5, "name": True}
    assert absolute(**given) == given


def counted(steps: int = 1, weights: Sequence[float] = (), by: Mapping[str, int] = {}, wanted: bool = False) -> None:
    """Has numbers in several places."""


@pytest.mark.parametrize("given", [{"steps": True}, {"weights": [0.5, False]}, {"by": {"a": True}}], ids=str)
def test_true_and_false_are_not_numbers(given: dict[str, Any]) -> None:
    with raises(StylekitError, repr(next(iter(given))), "number", "true"):
        validate(counted, given, "part")


def test_numbers_may_be_true_and_false() -> None:
    assert validate(counted, {"wanted": 1}, "part") == {"wanted": True}


def test_bounds_of_an_annotation_are_checked() -> None:
    def stacked(layers: Annotated[int, pydantic.Field(ge=1, le=8)] = 2) -> None: ...

    assert validate(stacked, {"layers": 8}, "part") == {"layers": 8}
    for layers in (0, 9, 10**30):
        with raises(StylekitError, "'layers'", "part", layers, "equal to"):
            validate(stacked, {"layers": layers}, "part")
    assert arguments(stacked)["layers"].accepts(int)
