"""Files that an earlier stylekit wrote: models and styles load and make the same images, and a run is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import stylekit
from stylekit import StylekitError
from tests.facts import raises


@pytest.fixture
def folder(fixtures: Path) -> Path:
    return fixtures / "first_format"


@pytest.mark.parametrize(
    ("model", "style", "options", "made"),
    [
        ("cyclegan", None, {}, "cyclegan"),
        ("cyclegan", None, {"direction": "b-to-a"}, "cyclegan_b_to_a"),
        ("adain", "style.png", {}, "adain"),
        ("adain", "adain.style", {}, "adain"),
    ],
)
def test_models_and_styles_of_the_first_format_make_the_same_images(
    folder: Path, model: str, style: str | None, options: dict[str, Any], made: str
) -> None:
    with Image.open(folder / "content.png") as content, Image.open(folder / f"{made}.png") as wanted:
        out = stylekit.load(folder / f"{model}.safetensors", "cpu").stylize(
            content, style and folder / style, **options
        )
        difference = np.abs(np.asarray(out, int) - np.asarray(wanted, int))
    assert difference.max() <= 1  # of 255: rounding


def test_a_run_of_the_first_format_is_not_resumed_and_its_model_starts_a_new_one(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(folder / "run", run)
    shutil.copy(folder / "cyclegan.safetensors", run / "model.safetensors")
    with raises(StylekitError, run, "format 1", "format 3", f"--init {run}"):
        stylekit.train(resume=True, out=run, steps=3)
    networks = json.loads((run / "run.json").read_text())["settings"]["set"]
    new = {"set": networks, "size": 32, "steps": 1, "workers": 0, "out": tmp_path / "new"}
    stylekit.train("cyclegan", init=str(run), **new)
    assert (tmp_path / "new" / "model.safetensors").exists()
