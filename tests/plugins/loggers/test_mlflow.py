"""The logger for MLflow, with a store of local files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import stylekit
from stylekit import StylekitError
from stylekit.registry.callbacks import Callbacks
from stylekit.training.runs import Run
from tests.facts import raises
from tests.line import Line


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of an empty store."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    return pytest.importorskip("mlflow").MlflowClient()


def train(run: Path, **settings: Any) -> Path:
    return stylekit.train(Line(), out=run, **{"size": 32, "workers": 0, "log": ["mlflow"], **settings})


def logged(client: Any, name: str = "stylekit") -> list[Any]:
    found: list[Any] = client.search_runs([client.get_experiment_by_name(name).experiment_id])
    return found


@pytest.mark.slow
def test_every_step_and_the_settings_are_logged_and_a_resumed_run_continues(client: Any, tmp_path: Path) -> None:
    run = train(tmp_path / "mine", steps=3, seed=5)
    (found,) = logged(client)
    assert (found.info.run_name, found.info.status) == ("mine", "FINISHED")
    assert found.data.params["data.name"] == "scenes"
    assert (found.data.params["seed"], found.data.params["steps"]) == ("5", "3")
    train(run, resume=True, steps=5)
    (found,) = logged(client)
    history = client.get_metric_history(found.info.run_id, "fit/square")
    expected = {line["step"]: line["fit/square"] for line in Run(run).metrics()}
    assert {point.step: point.value for point in history} == pytest.approx(expected)
    assert len(history) == 5
    assert (run / "mlflow").read_text().strip() == found.info.run_id


def test_values_are_sent_in_batches_and_the_rest_at_the_end(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "other")
    callbacks = Callbacks(["mlflow"])
    settings = {"steps": 900, "set": {f"option {number}!": "x" * 9000 for number in range(120)}, "none": None}
    callbacks.call("run_started", run=tmp_path, settings=settings)
    for step in range(1, 151):
        callbacks.call("step_finished", step=step, metrics={"a/b": float(step), "odd (name)": 1.0})
    (found,) = logged(client, "other")
    assert len(client.get_metric_history(found.info.run_id, "a/b")) == 100
    callbacks.call("run_finished", run=tmp_path, step=150)
    (found,) = logged(client, "other")
    assert len(client.get_metric_history(found.info.run_id, "a/b")) == 150
    assert found.data.metrics == {"a/b": 150.0, "odd _name_": 1.0}
    assert len(found.data.params) == 121
    assert found.data.params["set.option 7_"] == "x" * 500
    assert found.info.status == "KILLED"  # before its last step


def test_without_a_store_the_run_does_not_start(client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "gopher://x")
    with raises(StylekitError, "MLflow", "gopher", "MLFLOW_TRACKING_URI"):
        Callbacks(["mlflow"]).call("run_started", run=tmp_path, settings={})


def test_without_mlflow_the_line_that_installs_it_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with raises(StylekitError, "plugin 'mlflow'", "pip install 'stylekit-torch[mlflow]'"):
        Callbacks(["mlflow"]).call("run_started", run=tmp_path, settings={})
