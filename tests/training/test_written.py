"""Values as a user writes them: the type of an option decides whether they are YAML or text."""

from __future__ import annotations

import copy
import enum
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from stylekit.registry.schema import Argument, override, validate
from stylekit.training.written import read_yaml, written


class Mode(enum.Enum):
    ONE = "1"
    OFF = "off"


def read(text: str, annotation: Any = Any) -> Any:
    return Argument("name", annotation, None, "").read(written(text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("6", 6), ("-1", -1), ("0.5", 0.5), ("1e-4", 1e-4), ("1E+3", 1000.0), (".5", 0.5), ("-2e-1", -0.2),
        ("true", True), ("null", None), ("none", "none"), ("", None), ("resnet", "resnet"), ("'6'", "6"), ('"7e2"', "7e2"),
        ("[1, 2]", [1, 2]), ("{name: unet, downs: 5}", {"name": "unet", "downs": 5}),
        ("a=b", "a=b"), ("1.2.3", "1.2.3"), ("inf", "inf"), ("./x", "./x"), ("007", "007"),
        ("on", "on"), ("no", "no"), ("16:9", "16:9"), ("2024-01-01", "2024-01-01"), ("#1.png", "#1.png"), ("a #b", "a #b"),
    ],
)  # fmt: skip
def test_without_a_type_values_are_read_as_users_expect(text: str, value: object) -> None:
    assert read(text) == value
    assert type(read(text)) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "&a [*a]",
        "{a: &a {b: *a}}",
        "[" * 10_000,
        "[" * 60 + "]" * 60,
        "{a: " * 2000 + "1" + "}" * 2000,
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdef", "bcdefg", strict=True)
        ),
    ],
    ids=["a list in itself", "a mapping in itself", "unclosed", "deep lists", "deep mappings", "a bomb of references"],
)
def test_values_without_end_or_of_many_levels_are_no_valid_yaml(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        read_yaml(text)
    assert written(text).as_yaml == text.strip()


def test_references_are_read() -> None:
    assert read_yaml("a: &a {b: 1}\nc: {<<: *a, d: 2}\ne: *a") == {"a": {"b": 1}, "c": {"b": 1, "d": 2}, "e": {"b": 1}}


def test_within_lists_and_mappings_only_numbers_true_false_and_null_are_not_text() -> None:
    text = "{a: on, b: [16:9, 7e2, '7e2', 010, 12], c: {d: 2024-01-01, e: ~, f: false}, <<: {g: no}}"
    assert read_yaml(text) == {
        "a": "on",
        "b": ["16:9", 700.0, "7e2", "010", 12],
        "c": {"d": "2024-01-01", "e": None, "f": False},
        "g": "no",
    }


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("7", str, "7"), ("7e2", str, "7e2"), ("'7e2'", str, "7e2"), ("true", str, "true"), ("", str, ""),
        ("null", str, "null"), ("none", str, "none"), ("[1].png", str, "[1].png"), ("{a: b", str, "{a: b"),
        ("a: b", str, "a: b"), ("null", str | None, None), ("none", str | None, None), ("'none'", str | None, "none"),
        ("on", Literal["on", "off"], "on"), ("1", Literal["1", "2"], "1"), ("1", Literal[1, 2], 1),
        ("none", Literal["none", "all"], "none"), ("1", Mode, "1"), ("off", Mode, "off"),
        ("2024", Path, "2024"), ("2024", Path | None, "2024"), ("[a, '2']", Sequence[Path], ["a", "2"]),
        ("[a, b]", Path | Sequence[Path], ["a", "b"]), ("2024", Path | Sequence[Path], "2024"),
        ("6", int, 6), ("none", int | None, None), ("0.5", float | str, 0.5), ("[1, 2]", tuple[int, int], [1, 2]),
        ("{a: 1}", dict[str, int], {"a": 1}), ("none", tuple[int, ...], "none"),
    ],
)  # fmt: skip
def test_the_type_decides(text: str, annotation: Any, value: object) -> None:
    assert read(text, annotation) == value
    assert type(read(text, annotation)) is type(value)


def build(word: str = "x", flag: bool = False, count: int = 1) -> None: ...


@pytest.mark.parametrize("text", ["on", "true", "True", "yes", "1"])
def test_a_boolean_has_many_spellings(text: str) -> None:
    assert validate(build, {"flag": written(text)}, "sample") == {"flag": True}


def test_numbers_have_many_spellings() -> None:
    for text, count in {"007": 7, "1_000": 1000, "'6'": 6, "6.0": 6}.items():
        assert validate(build, {"count": written(text)}, "sample") == {"count": count}


def test_only_what_a_user_wrote_is_read() -> None:
    assert validate(build, {"word": "7e2"}, "sample") == {"word": "7e2"}
    assert Argument("name", Any, None, "").read("6") == "6"


def test_a_part_is_read_before_its_options_are_set() -> None:
    known = {"part": Argument("part", str | dict[str, Any], None, "")}
    changes = {"part": written("{name: unet, downs: 4}"), "part.width": 8}
    assert override(known, {}, changes, "sample") == {"part": {"name": "unet", "downs": 4, "width": 8}}


def test_what_was_written_reaches_other_processes() -> None:
    copied = copy.copy(written("1e-4"))
    assert (copied, copied.as_yaml) == ("1e-4", 1e-4)
