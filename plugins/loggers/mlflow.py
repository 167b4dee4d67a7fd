"""A logger for MLflow: ``stylekit train --log mlflow``."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stylekit import StylekitError, hookimpl
from stylekit.registry.extras import import_extra

EXPERIMENT = "stylekit"
"""The experiment, unless ``MLFLOW_EXPERIMENT_NAME`` names another."""
BATCH = 200
"""Values that are sent at once: a server is asked too often otherwise."""
LONGEST = 500
"""Characters of a parameter that every version of MLflow accepts."""
MOST = 100
"""Parameters that MLflow accepts at once."""


class MLflowLogger:
    """Sends every loss term and the settings of a run to MLflow.

    MLflow's own variables say where: ``MLFLOW_TRACKING_URI`` and ``MLFLOW_EXPERIMENT_NAME``. A run that resumes continues its
    run there, whose id is in the file ``mlflow`` of the run's folder; steps that it repeats are then logged twice. A run that
    ends before its last step is marked as killed.

    Raises:
        StylekitError: mlflow is not installed, or cannot store runs.
    """

    def __init__(self, run: Path, settings: Mapping[str, Any]) -> None:
        mlflow = import_extra("mlflow", "mlflow", "The plugin 'mlflow'")
        self.entities: Any = mlflow.entities
        self.steps, self.pending = settings.get("steps"), list[Any]()
        known = run / "mlflow"
        try:
            self.client: Any = mlflow.MlflowClient()
            if known.exists():
                self.id = known.read_text().strip()
                self.client.update_run(self.id, status="RUNNING")
                return
            self.id = self.client.create_run(_experiment(mlflow, self.client), run_name=run.name).info.run_id
            parameters = [
                self.entities.Param(_name(name), str(value)[:LONGEST]) for name, value in _flattened(settings)
            ]
            for start in range(0, len(parameters), MOST):
                self.client.log_batch(self.id, params=parameters[start : start + MOST])
        except mlflow.exceptions.MlflowException as error:
            raise StylekitError(f"MLflow cannot store the run: {error} Say where with MLFLOW_TRACKING_URI.") from error
        known.write_text(f"{self.id}\n")

    @hookimpl
    def stylekit_step_finished(self, step: int, metrics: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        self.pending += [self.entities.Metric(_name(name), value, now, step) for name, value in metrics.items()]
        if len(self.pending) >= BATCH:
            self._send()

    @hookimpl
    def stylekit_checkpoint_saved(self) -> None:
        self._send()

    @hookimpl
    def stylekit_run_finished(self, step: int) -> None:
        self._send()
        self.client.set_terminated(self.id, "FINISHED" if step == self.steps else "KILLED")

    def _send(self) -> None:
        pending, self.pending = self.pending, []
        for start in range(0, len(pending), BATCH):
            self.client.log_batch(self.id, metrics=pending[start : start + BATCH])


def _experiment(mlflow: Any, client: Any) -> str:
    """The id of the experiment, which is created if there is none of that name."""
    name = mlflow.environment_variables.MLFLOW_EXPERIMENT_NAME.get() or EXPERIMENT
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found else client.create_experiment(name))


def _name(name: str) -> str:
    """A name with the characters that MLflow accepts."""
    return re.sub(r"[^\w\-. /]", "_", name, flags=re.ASCII)


def _flattened(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", value


@hookimpl
def stylekit_run_started(run: Path, settings: Mapping[str, Any]) -> MLflowLogger:
    return MLflowLogger(run, settings)
