"""The methods in examples/methods: each is one small file, passes the conformance kit, trains, and makes images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import stylekit
from stylekit import images
from stylekit.registry import lookup
from stylekit.testing.catalogue import examine
from stylekit.testing.subjects import find_subjects
from stylekit_plugins.datasets.scenes import Scenes

METHODS = sorted((Path(__file__).parents[1] / "examples" / "methods").glob("*.py"))
SIZE = 64
STEPS = 3


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a folder for each of two classes."""
    root = tmp_path_factory.mktemp("labelled")
    scenes = Scenes(size=SIZE, length=3, split="test")
    for index in range(3):
        for key in scenes.item_keys:
            (root / key).mkdir(exist_ok=True)
            images.write(root / key / f"{index}.png", scenes[index][key])
    return root


@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.stem)
def test_an_example_is_one_small_file(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if line.strip()]
    assert len(lines) < 100


@pytest.mark.long
@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.stem)
def test_an_example_passes_every_check(path: Path) -> None:
    found = [finding for subject in find_subjects(str(path)) for finding in examine(subject)]
    assert [finding for finding in found if finding.fault or not finding.tried] == []


@pytest.mark.slow
@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.stem)
def test_an_example_trains_and_makes_images(path: Path, labelled: Path, tmp_path: Path) -> None:
    _, factory = lookup.find_method([str(path)])
    method: Any = factory
    data = {"data": str(labelled)} if method.reads == "labelled" else {}
    preset = {"preset": "tiny"} if "tiny" in method.presets else {}
    settings = {"size": SIZE, "batch_size": 2, "steps": STEPS, "workers": 0, "out": tmp_path / "run"}
    run = stylekit.train(str(path), **settings, **data, **preset)
    assert (run / "samples" / f"{STEPS:07d}.png").is_file()
    model = stylekit.load(run, device="cpu")
    if method.stylizes():
        content = images.read(labelled / "content" / "0.png").image
        style = images.read(labelled / "style" / "1.png").image if method.takes_styles() else None
        out = model.stylize(content, style)
        scale = model.method.scale
        assert out.shape == (1, 3, SIZE * scale, SIZE * scale)
        clip = list(model.frames([content, content], style))
        assert [frame.shape for frame in clip] == [out.shape] * 2
    if method.samples():
        drawn = model.sample(2, seed=1)
        assert drawn.shape == (2, 3, SIZE, SIZE)
        assert torch.equal(drawn, model.sample(3, seed=1)[:2])
        assert not torch.equal(drawn[0], drawn[1])
