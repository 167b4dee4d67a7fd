"""What ``--json`` prints is what docs/json.md says: every key is in its table, with its type, and the exit codes stay."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from docs import json_examples

if TYPE_CHECKING:
    from tests.cli.conftest import Paint, Program
    from tests.conftest import Install

TYPES: dict[type, str] = {
    bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object", type(None): "null",
}  # fmt: skip
ROW = re.compile(r"^\| `([^`]+)` \| ([a-z ]+?) \|", re.MULTILINE)


def schema(command: str) -> dict[str, set[str]]:
    """The types of each key in the section of a command."""
    [section] = [part for part in json_examples.PAGE.read_text().split("\n## ") if part.startswith(f"{command}\n")]
    return {key: set(types.split(" or ")) for key, types in ROW.findall(section)}


def command_of(line: str) -> str:
    """The command in a command line: one word or two."""
    first, second, *_ = [*line.split(), ""]
    return f"{first} {second}" if first in ("data", "style", "weights") else first


def faults(known: dict[str, set[str]], value: Any, path: str = "") -> Iterator[str]:
    """What differs between a value and a schema."""
    if path:
        types = known.get(path) or known.get(re.sub(r"[^.\[\]]+$", "*", path))
        if types is None:
            yield f"{path} is not in the table"
            return
        actual = TYPES[type(value)]
        if "value" in types:
            return
        if actual not in types and not (actual == "integer" and "number" in types):
            yield f"{path} is {actual}, not {types}"
    if isinstance(value, dict):
        start = f"{path}." if path else ""
        direct = {key.removeprefix(start) for key in known if key.startswith(start)}
        required = {key for key in direct if re.fullmatch(r"\w+", key)}
        yield from (f"{start}{key} is missing" for key in required - value.keys())
        for key, each in value.items():
            yield from faults(known, each, f"{start}{key if f'{start}{key}' in known else '*'}")
    if isinstance(value, list):
        for each in value:
            yield from (
                faults(known, each, f"{path}[]")
                if f"{path}[]" in known or not isinstance(each, dict)
                else (faults({**known, f"{path}[]": {"object"}}, each, f"{path}[]"))
            )


@pytest.mark.slow
def test_every_command_prints_what_the_page_says(tmp_path: Path) -> None:
    commands = set()
    for line, value in json_examples.outputs(tmp_path):
        commands.add(command_of(line))
        assert list(faults(schema(command_of(line)), value)) == [], line
    assert commands == set(re.findall(r"^## (.+)$", json_examples.PAGE.read_text(), re.MULTILINE))


def test_the_examples_in_the_page_are_as_its_tables_say() -> None:
    blocks = re.findall(r"<!-- example: (.*?) -->\n```json\n(.*?)```", json_examples.PAGE.read_text(), re.DOTALL)
    assert [line for line, _ in blocks] == json_examples.examples()
    for line, text in blocks:
        assert list(faults(schema(command_of(line)), json.loads(text))) == [], line


def result(program: Program, code: int, *line: object) -> Any:
    done = program(*line, "--json")
    assert done.code == code, done
    assert done.out.count("\n") == 1, done.out
    value = json.loads(done.out)
    assert list(faults(schema(command_of(" ".join(map(str, line)))), value)) == []
    return value


def test_problems_of_a_data_set_are_in_the_json(program: Program, paint: Paint, tmp_path: Path) -> None:
    paint(tmp_path / "a\x1b\n" / "good.png", 100, 90)
    (tmp_path / "a\x1b\n" / "bad.png").write_text("text")
    value = result(program, 1, "data", "check", tmp_path / "a\x1b\n")
    [side] = value["sides"]
    assert value["path"] == str(tmp_path / "a\x1b\n")
    assert (side["images"], side["lengths"], side["formats"]) == (2, [90, 95, 100], {"PNG": 1})
    assert side["unreadable"][0]["file"] == str(tmp_path / "a\x1b\n" / "bad.png")
    assert value["problems"]


def test_an_error_is_text_on_stderr_and_the_code_is_2(program: Program, tmp_path: Path) -> None:
    for line in (
        ["data", "check", tmp_path / "no"],
        ["show", "nothing"],
        ["check", "no"],
        ["style", "show", "no.style"],
    ):
        assert program(*line, "--json").error  # nothing on stdout, one line on stderr, code 2


def test_a_broken_plugin_is_one_entry_of_doctor_and_of_plugins(program: Program, install: Install) -> None:
    install("weeds", "weed", "raise RuntimeError('frost')")
    install("moss", "moss", MAPPING)
    for line, key in ((["doctor"], "details"), (["plugins", "--load"], "details")):
        by_name = {each["name"]: each for each in result(program, 0, *line)["plugins"]}
        assert by_name["weed"]["state"] == by_name["moss"]["state"] == "broken"
        assert "frost" in by_name["weed"][key]
        assert "wet" in by_name["moss"][key]
        assert by_name["cyclegan"]["state"] == "loads"


MAPPING = """
from collections.abc import Mapping
from stylekit import hookimpl

class Moss(Mapping):
    def __getitem__(self, key): raise KeyError(key)
    def __len__(self): return 1
    def __iter__(self): raise RuntimeError("wet")

@hookimpl
def stylekit_losses():
    return Moss()
"""


def test_doctor_reports_the_rest_if_a_driver_fails(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object) -> None:
        raise RuntimeError("the driver is too old")

    monkeypatch.setattr("stylekit.native.devices.pick_device", fail)
    monkeypatch.setattr("stylekit.native.compiling.find_compiler", fail)
    value = result(program, 0, "doctor")
    assert value["device"] is value["kernels"] is value["compiler"] is None
    assert value["torch"]
    assert all("the driver is too old" in value["problems"][name] for name in ("device", "compiler"))
    text = program("doctor")
    assert text.code == 0
    assert "driver is too old" in " ".join(text.out.split())


def test_faults_of_a_check_are_in_the_json(program: Program, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(
        "from torch import nn\nfrom stylekit import hookimpl\nclass Bad(nn.Module):\n"
        "    def __init__(self, weight=1): super().__init__()\n    def forward(self, a, b): return a\n"
        "@hookimpl\ndef stylekit_losses(): return {'bad': Bad}\n"
    )
    value = result(program, 1, "check", tmp_path / "bad.py")
    [loss] = [part for part in value["parts"] if part["kind"] == "loss"]
    assert loss["state"] == "fault"
    assert value["faults"] == sum(len(part["faults"]) for part in value["parts"]) > 0


def test_options_that_json_does_not_have_are_text(program: Program, tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(
        "from torch import nn\nfrom stylekit import hookimpl\nclass Odd(nn.Module):\n    '''Odd.'''\n"
        "    def __init__(self, top: float = float('inf'), kind: type = nn.ReLU, need: int = ...): super().__init__()\n"
        "@hookimpl\ndef stylekit_losses(): return {'odd': Odd}\n"
    )
    [part] = result(program, 0, "show", tmp_path / "odd.py")["parts"]
    assert part["options"][0]["default"] == "inf"
    assert "ReLU" in part["options"][1]["default"]
