"""What a session records: losses that are read in batches, NaN among them, and its rate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import stylekit
from stylekit import StylekitError, turn
from stylekit.method import Batch, Terms
from stylekit.training.checkpoint import saved_steps
from stylekit.training.runs import Run
from tests.facts import raises
from tests.line import Line

FOLLOWER = """
from pathlib import Path
from stylekit import hookimpl

@hookimpl
def stylekit_step_finished(step, metrics):
    with Path(__file__).with_suffix(".txt").open("a") as file:
        file.write(f"{step}\\n")
"""


def train(method: Line, out: Path, **settings: Any) -> Path:
    return stylekit.train(method, out=out, **{"size": 32, "workers": 0, "data": "scenes", **settings})


@pytest.fixture
def follower(tmp_path: Path) -> Path:
    """A logger in a file, which writes the number of every step that it is called for."""
    path = tmp_path / "follower.py"
    path.write_text(FOLLOWER)
    return path


def followed(follower: Path) -> list[int]:
    return [int(line) for line in follower.with_suffix(".txt").read_text().split()]


def test_every_step_is_logged_however_rarely_losses_are_read(tmp_path: Path, follower: Path) -> None:
    torch.manual_seed(0)
    often = Run(train(Line(), tmp_path / "often", steps=12, log_every=1)).metrics()
    torch.manual_seed(0)
    seldom = Run(train(Line(), tmp_path / "seldom", steps=12, log_every=5, log=[str(follower)])).metrics()
    assert [line["step"] for line in seldom] == list(range(1, 13))
    assert seldom == often
    assert followed(follower) == list(range(1, 13))


def test_losses_are_read_when_enough_steps_have_been_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[list[int]] = []
    log = Run.log

    def recorded(run: Run, given: Any) -> None:
        given = list(given)
        lines.append([line["step"] for line in given])
        log(run, given)

    monkeypatch.setattr(Run, "log", recorded)
    train(Line(), tmp_path / "run", steps=17, log_every=5, checkpoint_every=9)
    assert [step for batch in lines for step in batch] == list(range(1, 18))
    assert max(map(len, lines)) == 5
    assert [batch[-1] for batch in lines if batch and batch[-1] % 5 == 0] == [5, 10, 15]
    assert lines[0] == [1]  # with the first sample grid
    assert 9 in [batch[-1] for batch in lines if batch]  # before a checkpoint


def test_nan_is_reported_with_its_own_step_when_losses_are_read(tmp_path: Path, follower: Path) -> None:
    method = Line(fail_at=7)
    with raises(StylekitError, "step 7", "term 'square'", "turn 'fit'", "nan"):
        train(method, tmp_path / "run", steps=30, log_every=5, log=[str(follower)])
    assert int(method.steps) == 10  # the next multiple of log_every
    assert [line["step"] for line in Run(tmp_path / "run").metrics()] == list(range(1, 7))
    assert followed(follower) == list(range(1, 7))
    assert saved_steps(tmp_path / "run" / "checkpoints") == []
    assert json.loads((tmp_path / "run" / "run.json").read_text())["sessions"][0]["ended"] == "failed"


def test_nan_is_found_before_a_checkpoint_is_written(tmp_path: Path) -> None:
    with raises(StylekitError, "step 7", "term 'square'", "turn 'fit'", tmp_path / "run" / "checkpoints" / "4"):
        train(Line(fail_at=7), tmp_path / "run", steps=30, log_every=20, checkpoint_every=4)
    assert saved_steps(tmp_path / "run" / "checkpoints") == [4]


def test_a_step_with_a_lazy_turn_may_have_other_terms(tmp_path: Path) -> None:
    class Lazy(Line):
        @turn("learner", interval=3)
        def seldom(self, batch: Batch, made: Tensor) -> Terms:
            return {"mean": made.mean()}

    lines = Run(train(Lazy(), tmp_path / "run", steps=7, log_every=4)).metrics()
    assert [line["step"] for line in lines if "seldom/mean" in line] == [1, 4, 7]
    assert all("fit/square" in line for line in lines)


@pytest.mark.slow
def test_the_rate_counts_an_item_of_several_images_once(tmp_path: Path) -> None:
    class Paired(Line):
        batch_keys = ("content", "style")

    run = train(Paired(), tmp_path / "run", steps=20, batch_size=3, log_every=5)
    (session,) = json.loads((run / "run.json").read_text())["sessions"]
    assert session["seconds"] > 0
    assert session["images_per_second"] * session["seconds"] == pytest.approx(20 * 3, rel=0.1)
