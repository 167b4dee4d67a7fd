"""Passing events to plugins: who hears what, and what a failing plugin does to the run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stylekit import StylekitError
from stylekit.registry.callbacks import Callbacks

HEAD = "from stylekit import StylekitError, hookimpl\n"
KEEPER = """
heard = []

class Keeper:
    @hookimpl
    def stylekit_step_finished(self, step, metrics):
        heard.append(step)
        return Keeper()

@hookimpl
def stylekit_run_started(run, settings):
    return Keeper()
"""


def written(folder: Path, source: str) -> str:
    path = folder / "follower.py"
    path.write_text(HEAD + source)
    return str(path)


def start(relay: Callbacks, run: Path) -> None:
    relay.call("run_started", run=run, settings={})


def test_what_run_started_returns_follows_the_run_and_nothing_else(tmp_path: Path) -> None:
    relay = Callbacks([written(tmp_path, KEEPER)])
    start(relay, tmp_path)
    for step in (1, 2, 3):
        relay.call("step_finished", step=step, metrics={})
    assert sys.modules["stylekit_file_follower"].heard == [1, 2, 3]


def test_a_plugin_that_cannot_be_imported_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path, "import nothing_of_this_name\n")
    with pytest.raises(StylekitError, match=r"could not be imported: ModuleNotFoundError: No module named") as told:
        Callbacks([path])
    assert path in str(told.value)


def test_only_before_the_run_starts_may_a_plugin_stop_it(tmp_path: Path) -> None:
    hook = "@hookimpl\ndef stylekit_{}:\n    raise StylekitError('not {}')\n"
    source = hook.format("run_started(run, settings)", "now") + hook.format("step_finished(step)", "so")
    relay = Callbacks([written(tmp_path, source)])
    with pytest.raises(StylekitError, match="not now"):
        start(relay, tmp_path)
    with pytest.warns(match="no longer follows the run"):
        relay.call("step_finished", step=1, metrics={})


def test_tensorboard_that_is_not_installed_is_named_before_the_run_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(StylekitError, match=r'pip install "stylekit\[tensorboard\]"'):
        start(Callbacks(["tensorboard"]), tmp_path)


def test_a_plugin_that_exits_ends_no_run(tmp_path: Path) -> None:
    relay = Callbacks([written(tmp_path, "@hookimpl\ndef stylekit_step_finished(step):\n    raise SystemExit(3)\n")])
    start(relay, tmp_path)
    with pytest.warns(match=r"failed in stylekit_step_finished and no longer follows the run: SystemExit\(3\)"):
        relay.call("step_finished", step=1, metrics={})
