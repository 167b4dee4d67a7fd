"""The restorers that ship, or those that ``examples/restore/train.sh`` made in a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import stylekit
from stylekit.inference import Model
from stylekit.inference.model_file import ModelFile
from stylekit.registry import lookup
from stylekit.training.runs import Run


def restorer(task: str, runs: Path | None, known: Mapping[str, Any]) -> tuple[Model, dict[str, Any]]:
    """A restorer and what its model card says.

    Args:
        task: last part of the name of the model that ships
        runs: folder of ``train.sh``; None: the model that ships is meant
        known: what was recorded of the training of the model that ships

    Raises:
        StylekitError: the model is not there.
    """
    file = runs / f"stylekit-restore-{task}.safetensors" if runs else shipped(f"stylekit-restore-{task}")
    model = stylekit.load(file, device="cpu")
    arguments = model.method.arguments
    network = {
        "parameters": sum(each.numel() for each in model.method.parameters()),
        "network": arguments["generator"]["name"] if "generator" in arguments else model.name,
    }
    trained = training(last_run(runs / task)) if runs else known
    return model, {
        **trained,
        **network,
        "bytes": file.stat().st_size,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }


def shipped(name: str) -> Path:
    """The file of a model that ships."""
    part = lookup.find_part("model", name)
    assert isinstance(part, ModelFile)
    return part.path


def last_run(folder: Path) -> Run:
    """The run that ended a training: FOLDER-more, if it went on from the one in FOLDER."""
    more = Run(folder.with_name(f"{folder.name}-more"))
    return more if more.exists() else Run(folder)


def training(run: Run) -> dict[str, Any]:
    """How a model was trained, in one run after another."""
    settings = run.settings().model_dump()
    runs = [*([Run(Path(settings["init"]))] if settings["init"] else []), run]
    return {
        "steps": [each.metrics()[-1]["step"] for each in runs],
        **{key: settings[key] for key in ("size", "batch_size")},
    }
