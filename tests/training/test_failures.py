"""How runs fail: with one sentence that names the cause, and without processes that are left behind."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import stylekit
from stylekit import Player, StylekitError, turn
from stylekit.method import Batch, Terms
from stylekit.training.runs import Run
from tests.facts import assert_mentions, raises
from tests.line import Line

PLUGIN = """
import torch
from torch import nn
from stylekit import Method, Player, StylekitError, hookimpl, turn

class Greys:
    item_keys = ("content",)

    def __init__(self, size=8, seed=0, split="train", fails: str = "", at: int = 7):
        self.size, self.fails, self.at = size, fails, at

    def __len__(self):
        return 16

    def __getitem__(self, index):
        if index == self.at and self.fails == "stylekit":
            raise StylekitError("Item 7 is damaged.")
        if index == self.at and self.fails == "value":
            raise ValueError("too grey")
        if index == self.at and self.fails == "blocked":
            import time
            from pathlib import Path
            Path(__file__).with_name("blocked").touch()
            time.sleep(600)
        if index == self.at and self.fails == "exit":
            import os
            os._exit(3)
        return {"content": torch.full((3, self.size, self.size), index / 16)}

class Grey(Method):
    batch_keys = ("content",)
    reads = "greys"

    def __init__(self, fails: bool = False):
        super().__init__()
        self.net, self.fails = nn.Conv2d(3, 3, 1), fails

    def players(self):
        return {"net": Player(self.net)}

    @turn("net")
    def fit(self, batch, made):
        if self.fails and self.progress > 0 and float(batch["content"].max()) > 0.9:
            raise ValueError("too bright")
        return {"square": (self.net(batch["content"]) - 0.5).square().mean()}

    def stylize(self, content, style=None):
        return self.net(content).sigmoid()

@hookimpl
def stylekit_methods():
    return {"grey": Grey}

@hookimpl
def stylekit_datasets():
    return {"greys": Greys}
"""
ORDER_OF_RANK_1 = (1, 0)
"""Items that the second of two processes loads first and later, with the seed 0."""
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "grey.py"
    path.write_text(PLUGIN)
    return path


def run(plugin: Path, *arguments: str, launcher: tuple[str, ...] = ()) -> tuple[int, str]:
    """The exit code and the output of ``stylekit train`` for the plugin; fails if the program does not end."""
    line = [sys.executable, *launcher, "-m", "stylekit", "train", "--plugin", str(plugin), "--size", "8"]
    done = subprocess.run(
        [*line, "--steps", "20", "--device", "cpu", "--out", "run", *arguments],
        cwd=plugin.parent, env=ONE_THREAD, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("data", "options", "facts"),
    [
        ({"fails": "stylekit"}, {}, ["Item 7 is damaged."]),
        ({"fails": "value"}, {}, ["data set Greys", "ValueError: too grey", "line 19 of", "grey.py"]),
        ({}, {"fails": True}, ["too bright"]),
    ],
    ids=["data set's own error", "data set's other error", "step"],
)
def test_after_an_error_no_loading_process_is_left(
    plugin: Path, data: dict[str, Any], options: dict[str, Any], facts: list[str], workers: int
) -> None:
    """Not even while the traceback of the error is alive, which the program prints before it exits."""
    settings = {"data": {"name": "greys", **data}, "set": options, "workers": workers, "size": 8, "steps": 48}
    with pytest.raises((StylekitError, ValueError)) as caught:
        stylekit.train(str(plugin), out=plugin.parent / "run", **settings)
    assert multiprocessing.active_children() == []
    assert_mentions(str(caught.value), *facts)
    assert "Traceback" not in str(caught.value)


@pytest.mark.slow
def test_the_program_ends_with_one_sentence_and_debug_shows_where_an_item_failed(plugin: Path) -> None:
    arguments = ("--data", "{name: greys, fails: value}", "--workers", "1")
    code, output = run(plugin, *arguments)
    assert code == 2
    assert output.splitlines()[-1].startswith("Error: The data set Greys failed: ValueError: too grey")
    assert "Traceback" not in output
    _, output = run(plugin, *arguments, "--debug", "--out", "again")
    assert 'raise ValueError("too grey")' in output


@pytest.mark.slow
def test_a_loading_process_that_exits_ends_the_run(plugin: Path) -> None:
    code, output = run(plugin, "--data", "{name: greys, fails: exit}", "--workers", "1")
    assert code != 0  # torch raises it wherever the main process is
    assert_mentions(output.splitlines()[-1], "Error: ", "DataLoader worker", "exited unexpectedly")


@pytest.mark.slow
def test_an_interrupt_does_not_wait_for_an_item_that_takes_forever(plugin: Path) -> None:
    line = [sys.executable, "-m", "stylekit", "train", "--plugin", str(plugin), "--size", "8", "--steps", "48"]
    options = ["--data", "{name: greys, fails: blocked}", "--workers", "1", "--device", "cpu", "--out", "run"]
    process = subprocess.Popen([*line, *options], cwd=plugin.parent, env=ONE_THREAD, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (plugin.parent / "blocked").exists():
        time.sleep(0.05)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(1)
    assert process.wait(timeout=120) == 130


@pytest.mark.long
@pytest.mark.parametrize("at", ORDER_OF_RANK_1, ids=["before the first step", "later"])
def test_an_error_that_one_launched_process_alone_meets_is_reported(plugin: Path, at: int) -> None:
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    arguments = ("--batch-size", "2", "--workers", "0")
    code, output = run(plugin, "--data", f"{{name: greys, fails: stylekit, at: {at}}}", *arguments, launcher=torchrun)
    assert code != 0
    errors = [line for line in output.splitlines() if line.startswith("Error: ")]
    assert len([line for line in errors if "Item 7 is damaged." in line]) == 1, output
    assert "gloo" not in output


@pytest.mark.long
def test_an_error_of_a_spawned_process_is_one_sentence(plugin: Path) -> None:
    arguments = ("--set", "fails=true", "--steps", "48", "--batch-size", "2", "--workers", "0", "--devices", "2")
    code, output = run(plugin, *arguments)
    assert code == 2
    assert_mentions(output.splitlines()[-1], "Error: ", "ValueError: too bright", "in line 44 of", plugin)
    assert "Traceback" not in output


class Masked(Line):
    """Has a constant of -inf, as attention has."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.full((4, 4), -torch.inf).triu(1))


def test_a_constant_that_is_not_finite_is_no_failure(tmp_path: Path) -> None:
    run = stylekit.train(Masked(), out=tmp_path / "run", size=32, steps=2, workers=0)
    stylekit.train(Masked(), resume=True, out=run, steps=3)
    assert Run(run).latest() == run / "checkpoints" / "3"


class Decomposed(Line):
    """Its loss is NaN at a step, and the next one cannot be computed from the weights."""

    @turn("learner")
    def fit(self, batch: Batch, made: Tensor) -> Terms:
        torch.linalg.eigh(self.value.weight[:, :, 0, 0])
        return {"square": (made - 0.5).square().mean() + (torch.nan if int(self.steps) == 4 else 0.0)}


def test_a_loss_that_makes_the_next_step_fail_is_the_reported_cause(tmp_path: Path) -> None:
    with raises(StylekitError, "step 4", "term 'square'", "turn 'fit'", "nan"):
        stylekit.train(Decomposed(), out=tmp_path / "run", size=32, steps=8, workers=0, log_every=20)
    assert [line["step"] for line in Run(tmp_path / "run").metrics()] == [1, 2, 3]


def test_a_failure_at_the_last_step_is_recorded_as_one(tmp_path: Path) -> None:
    with raises(StylekitError, "step 2", "nan"):
        stylekit.train(Line(fail_at=2), out=tmp_path / "run", size=32, steps=2, workers=0)
    (session,) = json.loads((tmp_path / "run" / "run.json").read_text())["sessions"]
    assert session["ended"] == "failed"


class Weighted(Line):
    """A loss with a learned weight, which is logged (Kendall et al. 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def players(self) -> dict[str, Player]:
        return {"learner": Player([self.value, self.weight], optimizer=torch.optim.SGD, lr=0.1)}

    @turn("learner")
    def fit(self, batch: Batch, made: Tensor) -> Terms:
        return {"square": torch.exp(-self.weight) * (made - 0.5).square().mean(), "weight": self.weight}


@pytest.mark.parametrize("log_every", [1, 20])
def test_a_logged_parameter_has_its_value_before_the_update(tmp_path: Path, log_every: int) -> None:
    torch.manual_seed(0)
    run = stylekit.train(Weighted(), out=tmp_path / "run", size=32, steps=4, workers=0, log_every=log_every)
    lines = Run(run).metrics()
    assert lines[0]["fit/weight"] == 0
    for before, after in pairwise(lines):
        expected = before["fit/weight"] - 0.1 * (1 - before["fit/square"])
        assert after["fit/weight"] == pytest.approx(expected, abs=1e-6)
