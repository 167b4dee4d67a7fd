"""What a machine cannot do, and options that make no sense, end in one sentence before a process starts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

import stylekit
from stylekit import Player, StylekitError
from stylekit.training import limits
from tests.facts import raises
from tests.line import Line

CORES = os.cpu_count() or 1


@pytest.mark.parametrize(
    ("settings", "facts"),
    [
        ({"devices": 2, "batch_size": 3}, ["batch of 3", "2 processes", "--batch-size", "multiple of 2"]),
        ({"devices": 2}, ["batch of 1", "2 processes"]),
        ({"devices": 1000, "batch_size": 1000}, ["--devices 1000", f"{CORES} cores", f"at most {max(8, CORES)}"]),
        ({"workers": 10**6}, ["--workers 1000000", f"{CORES} cores", f"at most {max(32, 4 * CORES)}"]),
        ({"batch_size": 10**9}, ["batch of 1000000000", "32x32 pixels", "GiB", "--batch-size"]),
        ({"batch_size": 10**4, "size": 2**16}, ["65536x65536 pixels", "GiB", "--size"]),
        ({"batch_size": 10**400}, ["'batch_size'"]),
        ({"size": 10**400}, ["'size'"]),
        ({"steps": 10**400}, ["'steps'"]),
    ],
)
def test_a_run_that_this_machine_cannot_do_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], facts: list[str]
) -> None:
    monkeypatch.setattr("stylekit.training.engine.launch", lambda *_: pytest.fail("a process was started"))
    with raises(StylekitError, *facts):
        stylekit.train(Line(), out=tmp_path / "run", **{"size": 32, "device": "cpu", **settings})
    assert list(tmp_path.iterdir()) == []


def test_a_batch_is_judged_by_the_free_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = 2 * 3 * 4 * 32**2  # a batch of two images of float32
    settings: dict[str, Any] = {"size": 32, "batch_size": 2, "steps": 1, "workers": 0, "device": "cpu"}
    monkeypatch.setattr(limits, "free_memory", lambda device: needed - 1)
    with raises(StylekitError, "batch of 2", "32x32"):
        stylekit.train(Line(), out=tmp_path / "run", **settings)
    monkeypatch.setattr(limits, "free_memory", lambda device: needed)
    stylekit.train(Line(), out=tmp_path / "run", **settings)


class Learning(Line):
    """Its player has any options."""

    def __init__(self, weight: float = 1.0, **options: Any) -> None:
        super().__init__()
        self.options = options

    def players(self) -> dict[str, Player]:
        return {"learner": Player(self.value, **self.options)}


@pytest.mark.parametrize(
    ("options", "fact"),
    [
        ({"lr": float("nan")}, "lr=nan"),
        ({"lr": float("inf")}, "lr=inf"),
        ({"lr": -1.0}, "lr=-1.0"),
        ({"ema": float("nan")}, "ema=nan"),
        ({"clip": float("nan")}, "clip=nan"),
        ({"clip": -1.0}, "clip=-1.0"),
        ({"optimizer": lambda p, lr: torch.optim.Adam(p, lr, (float("nan"), 0.9))}, "player 'learner'"),
    ],
)
def test_options_of_a_player_that_make_no_sense_are_refused(tmp_path: Path, options: dict[str, Any], fact: str) -> None:
    with raises(StylekitError, fact):
        stylekit.train(Learning(**options), out=tmp_path / "run", size=32, steps=1, workers=0)
    assert list(tmp_path.iterdir()) == []


def test_a_run_with_an_option_that_is_nan_resumes(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text("""
from stylekit import hookimpl
from tests.line import Line

class Odd(Line):
    def __init__(self, limit: float = 1.0):
        super().__init__()

@hookimpl
def stylekit_methods():
    return {"odd": Odd}
""")
    plugin = str(tmp_path / "odd.py")
    run = stylekit.train(plugin, out=tmp_path / "run", set={"limit": float("nan")}, size=32, steps=1, workers=0)
    stylekit.train(plugin, resume=True, out=run, steps=2)
    stylekit.train(plugin, resume=True, out=run, steps=3, set={"limit": float("nan")})
    with raises(StylekitError, "set was", "'limit': nan"):
        stylekit.train(plugin, resume=True, out=run, steps=4, set={"limit": 1.0})


@pytest.mark.parametrize("name", ["gatys", "color-pca"])
def test_a_method_that_learns_nothing_is_not_trained(tmp_path: Path, name: str) -> None:
    with raises(StylekitError, f"method {name!r}", "nothing to train", f"stylekit stylize IMAGE --model {name}"):
        stylekit.train(name, out=tmp_path / "run", data="scenes", size=32, steps=1, workers=0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["cyclegan", "resnet", "scenes"])
def test_a_plugin_that_does_not_follow_runs_is_no_logger(tmp_path: Path, name: str) -> None:
    with raises(StylekitError, f"plugin {name!r}", "stylekit_step_finished", "tensorboard"):
        stylekit.train(Line(), out=tmp_path / "run", log=name, size=32, steps=1, workers=0)
    assert list(tmp_path.iterdir()) == []
