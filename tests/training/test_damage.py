"""Damaged run folders: one sentence that names the file and says what to do, whatever the file contains."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stylekit
from stylekit import StylekitError
from stylekit._files import JSON_LIMIT
from stylekit.training import checkpoint
from stylekit.training.runs import Run
from tests.facts import raises
from tests.line import Line


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with checkpoints of two steps. No test writes there."""
    out = tmp_path_factory.mktemp("finished") / "run"
    return stylekit.train(Line(), out=out, size=32, steps=2, checkpoint_every=1, workers=0)


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "run")


def resume(run: Path) -> None:
    stylekit.train(Line(), resume=True, out=run, steps=3)


def changed(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


DEEP = "[" * 100_000 + "]" * 100_000
TEXTS = ["", "{", "[]", "null", "7", '"text"', DEEP, '{"a":' * 50_000, "\x00" * 100, "1e999", "9" * 5000]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.parametrize("name", ["run.json", "checkpoints/2/state.json"])
def test_a_file_that_is_something_else_is_named(run: Path, name: str, text: str) -> None:
    (run / name).write_text(text)
    start = time.monotonic()
    with raises(StylekitError, run / name, "damaged"):
        resume(run)
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("name", ["run.json", "checkpoints/2/state.json"])
@pytest.mark.parametrize("content", [b"\xff\xfe", b"[0," * (JSON_LIMIT // 3 + 1)], ids=["no text", "huge"])
def test_a_file_that_is_no_text_or_too_large_is_named(run: Path, name: str, content: bytes) -> None:
    (run / name).write_bytes(content)
    with raises(StylekitError, run / name, "damaged"):
        resume(run)


def link(path: Path, target: str) -> None:
    path.symlink_to(target)


@pytest.mark.parametrize("name", ["run.json", "metrics.jsonl", "checkpoints/2/state.json", "checkpoints"])
@pytest.mark.parametrize(
    "make",
    [Path.mkdir, os.mkfifo, lambda path: link(path, path.name), lambda path: link(path, "/dev/zero")],
    ids=["folder", "pipe", "loop", "endless"],
)
def test_what_is_not_a_file_is_one_sentence(run: Path, name: str, make: Callable[[Path], object]) -> None:
    (shutil.rmtree if (run / name).is_dir() else Path.unlink)(run / name)
    make(run / name)
    if name == "checkpoints" and (run / name).is_dir():
        resume(run)  # as if the run had stopped before its first checkpoint
        return
    with raises(StylekitError, run / name):
        resume(run)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(id=None),
        lambda content: content.update(id=7),
        lambda content: content.update(id="../.."),
        lambda content: content.pop("id"),
        lambda content: content.update(settings=[]),
        lambda content: content.update(settings=None),
        lambda content: content.update(settings={}),
        lambda content: content["settings"].update(plugin=[]),
        lambda content: content["settings"].update(plugin=[[]]),
        lambda content: content["settings"].update(steps=float("inf")),
        lambda content: content["settings"].update(set=[]),
        lambda content: content["settings"].update(size="x" * 1000),
        lambda content: content["settings"].update(data=7),
        lambda content: content.update(sessions=None),
        lambda content: content.update(sessions=[7]),
        lambda content: content.update(sessions=[{}]),
        lambda content: content.update(method=[]),
        lambda content: content.update(method={"name": "Line", "arguments": []}),
        lambda content: content.update(packages=["x"]),
        lambda content: content.update(packages={"x": 7}),
        lambda content: content.update(data=7),
        lambda content: content.update(data={"files": -1, "digest": ""}),
        lambda content: content.update(processes="two"),
    ],
)
def test_a_run_json_of_another_form_is_named(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    changed(run / "run.json", change)
    with raises(StylekitError, run / "run.json"):
        resume(run)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.update(step=float("inf")),
        lambda state: state.update(step=float("nan")),
        lambda state: state.update(step=-1),
        lambda state: state.update(step=3),
        lambda state: state.update(step=10**400),
        lambda state: state.update(step=None),
        lambda state: state.update(run=7),
        lambda state: state.update(digest=None),
        lambda state: state.pop("digest"),
        lambda state: state.update(players=None),
        lambda state: state.update(players={}),
        lambda state: state.update(players={"pairs": []}),
    ],
)
def test_a_state_of_another_form_is_named_and_removing_it_helps(
    run: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    path = run / "checkpoints" / "2"
    changed(path / "state.json", change)
    with raises(StylekitError, path / "state.json", f"remove {path} "):
        resume(run)
    shutil.rmtree(path)
    resume(run)


@pytest.mark.parametrize(
    "players",
    [
        None,
        {},
        7,
        {"pairs": None},
        {"pairs": [[1]]},
        {"pairs": [["learner", None]]},
        {"pairs": [["learner", {}]]},
        {"pairs": [["learner", {"pairs": [["optimizer", None], ["average", None]]}]]},
        {"pairs": [[[], 7]]},
        {"tensor": []},
    ],
)
def test_players_of_another_form_are_refused_with_a_matching_digest_too(run: Path, players: Any) -> None:
    path = run / "checkpoints" / "2"
    changed(path / "state.json", lambda state: state.update(players=players, digest=checkpoint._digest(players)))
    with raises(StylekitError, path):
        resume(run)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lr", None),
        ("lr", "fast"),
        ("lr", float("nan")),
        ("lr", float("inf")),
        ("initial_lr", []),
        ("momentum", {}),
        ("nesterov", 7),
        ("params", None),
        ("params", [0, 1, 2]),
    ],
)
def test_damaged_parameter_groups_are_refused_with_a_matching_digest_too(run: Path, key: str, value: Any) -> None:
    path = run / "checkpoints" / "2"
    state = json.loads((path / "state.json").read_text())
    text = json.dumps(state["players"])
    players = dict(state["players"]["pairs"])["learner"]
    (group,) = dict(dict(players["pairs"])["optimizer"]["pairs"])["param_groups"]
    (pair,) = [pair for pair in group["pairs"] if pair[0] == key]
    pair[1] = {"pairs": []} if value == {} else value
    assert json.dumps(state["players"]) != text
    state["digest"] = checkpoint._digest(state["players"])
    (path / "state.json").write_text(json.dumps(state))
    with raises(StylekitError, "player 'learner'", path, "does not fit"):
        resume(run)


LINES = [
    *("[]", "7", "null", '"text"', "{}", '{"step": null}', '{"step": "2"}', '{"step": true}', '{"step": 1.5}'),
    *('{"step": Infinity}', '{"step": 2, "fit/square": "x"}', '{"step": 2, "fit/square": [1]}', DEEP, "\x00" * 50),
    *('{"step": 2, "fit/square": NaN}', '{"step": 2, "fit/square": 1e999}', '{"step": 2, "fit/square": {}}', "", "{"),
    '{"step": ' + "9" * 400 + "}",
]


def test_damaged_lines_of_the_log_are_left_out_and_the_others_stay(run: Path) -> None:
    log = run / "metrics.jsonl"
    first, second = log.read_text().splitlines()
    log.write_text("\n".join([first, *LINES, second, '{"step": 3, "fi']))
    assert [line["step"] for line in Run(run).metrics()] == [1, 2]
    resume(run)
    assert [line["step"] for line in Run(run).metrics()] == [1, 2, 3]
    assert log.read_text().splitlines()[:2] == [first, second]


@pytest.mark.parametrize("name", ["\u00b2", "\u0663", "007", "-1", "1e3", "9" * 200])
def test_names_that_are_not_steps_are_not_checkpoints(run: Path, name: str) -> None:
    (run / "checkpoints" / name).mkdir()
    resume(run)
    assert (run / "checkpoints" / name).is_dir()
    assert (run / "checkpoints" / "3").is_dir()


def test_a_newer_checkpoint_that_was_copied_under_another_step_is_refused(run: Path) -> None:
    shutil.copytree(run / "checkpoints" / "1", run / "checkpoints" / "9")
    with raises(StylekitError, run / "checkpoints" / "9", "step 1", "remove"):
        resume(run)
