"""Reads ``--model``: one model, several that are applied one after the other, or several with weights that are blended."""

from __future__ import annotations

import os
from collections.abc import Sequence

from stylekit._files import real_path
from stylekit.cli.options import DEFAULT_MODEL
from stylekit.errors import StylekitError
from stylekit.inference.exported import SUFFIXES

Models = tuple[tuple[str, float | None], ...]
"""The name or the path of each model, and its weight in a blend."""


def read_models(texts: Sequence[str]) -> Models:
    """The models of the command line; by default, the one that is shipped.

    Raises:
        StylekitError: some have weights, and others have none.
    """
    models = tuple(map(_weighted, texts or [DEFAULT_MODEL]))
    without = [name for name, weight in models if weight is None]
    if without and len(without) < len(models):
        raise StylekitError(
            f"--model {without[0]} has no weight, but others have. Give each one, to blend what they make, or none, to apply "
            "one after the other."
        )
    return models


def models_name(models: Models) -> str:
    """The name of the models in file names: their own, or those of their files or folders."""
    paths = [real_path(name) for name, _ in models]
    return "+".join(path.stem if path.suffix in (".safetensors", *SUFFIXES) else path.name for path in paths)


def _weighted(text: str) -> tuple[str, float | None]:
    """A model and its weight, which follows the last colon. If there is a file of the whole name, it has no weight."""
    name, colon, number = text.rpartition(":")
    if not colon or os.path.exists(text):
        return text, None
    try:
        return name, float(number)
    except ValueError:
        return text, None
