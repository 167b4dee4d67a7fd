"""A logger for TensorBoard: ``stylekit train --log tensorboard``."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stylekit import StylekitError, hookimpl


class TensorBoardLogger:
    """Writes every loss term of a run to the folder ``tensorboard`` of the run.

    Raises:
        StylekitError: tensorboard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        if importlib.util.find_spec("tensorboard") is None:
            raise StylekitError(
                "The plugin 'tensorboard' needs the package tensorboard, which is not installed. Install it with: "
                'pip install "stylekit-torch[tensorboard]"'
            )
        from torch.utils.tensorboard import SummaryWriter  # tensorboard is optional, and slow to import

        self.writer = SummaryWriter(str(folder))

    @hookimpl
    def stylekit_step_finished(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self.writer.add_scalar(name, value, step)

    @hookimpl
    def stylekit_run_finished(self, run: Path, step: int) -> None:
        self.writer.close()


@hookimpl
def stylekit_run_started(run: Path, settings: Mapping[str, Any]) -> TensorBoardLogger:
    return TensorBoardLogger(run / "tensorboard")
