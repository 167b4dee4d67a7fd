"""What the tests of exported models share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stylekit import make
from stylekit.inference.model import Model
from stylekit.inference.model_file import ModelFile
from stylekit.registry import lookup

pytest.importorskip("onnxruntime", reason="exported models need onnxruntime")


def small(spec: str | dict[str, object]) -> Model:
    """A small model of a method with random weights."""
    torch.manual_seed(0)
    method = make("method", spec)
    name = spec if isinstance(spec, str) else str(spec["name"])
    return Model(method, name)


@pytest.fixture(scope="session")
def shipped() -> Path:
    """The exported form of the model that ships."""
    factory = lookup.find_part("model", "stylekit-any")
    assert isinstance(factory, ModelFile)
    return factory.exported
