"""``stylekit runs``: the facts of runs, and the settings that differ."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import stylekit
from tests.facts import assert_mentions
from tests.line import Line

if TYPE_CHECKING:
    from tests.cli.conftest import Program


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs. No test writes there."""
    folder = tmp_path_factory.mktemp("made")
    data = {"name": "scenes", "length": 4}
    stylekit.train(Line(), out=folder / "one", data=data, size=32, workers=0, steps=3)
    stylekit.train(Line(), out=folder / "two", data={**data, "length": 5}, size=32, workers=0, steps=2, seed=7)
    return folder


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    (tmp_path / "runs" / "empty").mkdir(parents=True)
    for name in ("one", "two"):
        shutil.copytree(made / name, tmp_path / "runs" / name)
    return tmp_path / "runs"


def listed(program: Program, *given: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(program("runs", *given, "--json").out)
    return facts


def test_the_facts_are_those_of_the_folders(program: Program, runs: Path) -> None:
    for path in (runs / "one" / "run.json", runs / "one" / "metrics.jsonl"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    facts = listed(program, runs)
    one, two = facts["runs"]
    assert facts["differences"] == []
    assert [one["run"], two["run"]] == [str(runs / "one"), str(runs / "two")]
    assert (one["method"], one["step"], one["steps"], one["ended"], one["best"]) == ("Line", 3, 3, "complete", None)
    assert one["changed"] == "2023-11-14T22:13:20+00:00"
    assert one["bytes"] == sum(path.stat().st_size for path in (runs / "one").rglob("*") if path.is_file())
    last = json.loads((runs / "one" / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"step": 3, **one["metrics"]} == last
    assert len(last) > 1


def test_the_table_has_a_line_for_each_run(program: Program, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(runs.parent)
    header, one, two = (line for line in program("runs").out.splitlines() if line.strip())
    assert_mentions(header, "run", "method", "steps", "ended", "size", "UTC")
    assert_mentions(one, "runs/one", "Line", "3 of 3", "complete")
    assert_mentions(two, "runs/two", "Line", "2 of 2", "complete")


def test_of_several_runs_the_settings_that_differ_are_shown(
    program: Program, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = listed(program, runs / "one", runs / "two")
    assert facts["differences"] == [
        {"setting": "data.length", "values": [4, 5]},
        {"setting": "steps", "values": [3, 2]},
        {"setting": "seed", "values": [0, 7]},
    ]
    monkeypatch.setenv("COLUMNS", "300")
    lines = program("runs", runs / "one", runs / "two").out.splitlines()
    assert [line.split() for line in lines[-3:]] == [["data.length", "4", "5"], ["steps", "3", "2"], ["seed", "0", "7"]]
    assert program("runs", runs / "one", runs / "one").out.splitlines()[-1] == "The runs have the same settings."


@pytest.mark.parametrize(
    ("sessions", "line", "ended"),
    [
        ([], '{"step": 9, "a/b": 1.0}\n', None),  # the first session is running, or was killed
        ([{"to": 3, "ended": "interrupted"}], '{"step": 9, "a/b": 1.0}\n', None),
        (
            [{"to": 9, "ended": "interrupted"}],
            '{"step": 9, "a/b": 1.0}\n{"step": 10, "a/',
            "interrupted",
        ),  # half a line
    ],
)
def test_a_run_that_was_killed_has_no_end(
    program: Program, runs: Path, sessions: list[Any], line: str, ended: str | None
) -> None:
    path = runs / "one" / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "sessions": sessions}))
    (runs / "one" / "metrics.jsonl").write_text('{"step": 8, "a/b": 3.0}\n' + line)
    (one,) = listed(program, runs / "one")["runs"]
    assert (one["step"], one["ended"], one["metrics"]) == (9, ended, {"a/b": 1.0})


def test_a_damaged_run_does_not_hide_the_others(program: Program, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    (runs / "one" / "run.json").write_text("{")
    done = program("runs", runs)
    assert done.code == 1
    assert_mentions(done.out, "two", f"{runs / 'one' / 'run.json'} is damaged")
    one, two = json.loads(program("runs", runs, "--json").out)["runs"]
    assert_mentions(one["error"], "damaged")
    assert (one["method"], two["method"], two["error"]) == (None, "Line", None)


def test_a_folder_without_runs_is_refused(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert_mentions(program("runs").error, "no folder runs")
    assert_mentions(program("runs", ".").error, "no runs in .", "run.json")
