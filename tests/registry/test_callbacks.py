"""Passing events to plugins: which hooks are called, and how a run handles a failing plugin."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stylekit import StylekitError, StylekitWarning
from stylekit.registry.callbacks import Callbacks
from tests.facts import raises, warns

HEAD = "from stylekit import StylekitError, hookimpl\n"
KEEPER = """
steps = []

class Keeper:
    @hookimpl
    def stylekit_step_finished(self, step, metrics):
        steps.append(step)
        return Keeper()

@hookimpl
def stylekit_run_started(run, settings):
    return Keeper()
"""


def written(folder: Path, source: str) -> str:
    path = folder / "follower.py"
    path.write_text(HEAD + source)
    return str(path)


def start(callbacks: Callbacks, run: Path) -> None:
    callbacks.call("run_started", run=run, settings={})


def test_only_the_object_returned_by_run_started_gets_further_events(tmp_path: Path) -> None:
    callbacks = Callbacks([written(tmp_path, KEEPER)])
    start(callbacks, tmp_path)
    for step in (1, 2, 3):
        callbacks.call("step_finished", step=step, metrics={})
    assert sys.modules["stylekit_file_follower"].steps == [1, 2, 3]


def test_a_plugin_that_cannot_be_imported_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path, "import nothing_of_this_name\n")
    with raises(StylekitError, path, "import", "ModuleNotFoundError", "nothing_of_this_name"):
        Callbacks([path])


def test_a_plugin_can_stop_a_run_only_before_it_starts(tmp_path: Path) -> None:
    hook = "@hookimpl\ndef stylekit_{}:\n    raise StylekitError('not {}')\n"
    source = hook.format("run_started(run, settings)", "now") + hook.format("step_finished(step)", "so")
    callbacks = Callbacks([written(tmp_path, source)])
    with raises(StylekitError, "not now"):
        start(callbacks, tmp_path)
    with warns(StylekitWarning, "follower", "stylekit_step_finished", "not so"):
        callbacks.call("step_finished", step=1, metrics={})


def test_a_missing_tensorboard_is_reported_before_the_run_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with raises(StylekitError, 'pip install "stylekit-torch[tensorboard]"'):
        start(Callbacks(["tensorboard"]), tmp_path)


def test_a_plugin_that_exits_does_not_end_the_run(tmp_path: Path) -> None:
    callbacks = Callbacks(
        [written(tmp_path, "@hookimpl\ndef stylekit_step_finished(step):\n    raise SystemExit(3)\n")]
    )
    start(callbacks, tmp_path)
    with warns(StylekitWarning, "follower", "stylekit_step_finished", "SystemExit(3)"):
        callbacks.call("step_finished", step=1, metrics={})
