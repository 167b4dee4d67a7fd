"""The exported form of the model that ships does what the model does, without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import stylekit
from stylekit import StylekitError, images
from stylekit.images import Picture
from stylekit.inference.exported.controls import read_mask
from stylekit.inference.exported.file import ExportedFile
from stylekit.inference.exported.model import ExportedModel
from stylekit.inference.exported.verify import verify
from stylekit.inference.model import Model
from stylekit.inference.styles import write_style
from stylekit.weights.digests import module_digest
from stylekit_plugins.datasets.scenes import render
from tests.facts import raises


@pytest.fixture(scope="module")
def model() -> Model:
    return stylekit.load("stylekit-any", "cpu")


@pytest.fixture(scope="module")
def exported(shipped: Path) -> ExportedModel:
    return ExportedModel(shipped)


def test_a_clip_may_have_a_mask_for_each_picture(exported: ExportedModel, place: Path) -> None:
    picture, [style] = images.read(place / "photo.png", arrays=True), [(exported.style(str(place / "style0.png")), 1.0)]
    masks = [np.full((1, 1, 5, 5), value, np.float32) for value in (0.0, 1.0)]
    frames = [*exported.clip([picture, picture], [style], mask=[iter(masks)])]
    assert (frames[0].image == picture.image).all()
    whole = exported.stylize_picture(picture, [style])
    assert np.allclose(frames[1].image, whole.image, atol=1e-6)
    with raises(StylekitError, 1, "mask"):
        list(exported.clip([picture, picture], [style], mask=[iter(masks[:1])]))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph with alpha, two paintings, masks, and a style file."""
    folder = tmp_path_factory.mktemp("place")
    photo = render(1, "photo", 96)[None, :, :75]
    alpha = torch.ones(1, 1, 75, 96)
    alpha[..., :20, :30] = 0
    images.write(folder / "photo.png", Picture(photo, alpha))
    for number, manner in enumerate(("strokes", "photo")):
        images.write(folder / f"style{number}.png", render(7 + number, manner, 80)[None])
    mask = torch.linspace(0, 1, 40).expand(1, 3, 30, 40)
    images.write(folder / "mask.png", mask)
    return folder


def both(model: Model, exported: ExportedModel, place: Path, styles: list[tuple[str, float]], **options: Any) -> int:
    """The largest difference of the two models' outputs in levels of 8 bits, with alpha."""
    ours = [(exported.style(str(place / name)), weight) for name, weight in styles]
    theirs = [(model.style(place / name), weight) for name, weight in styles]
    masks = options.pop("mask", [])
    picture = exported.stylize_picture(
        images.read(place / "photo.png", arrays=True), ours, mask=[read_mask(place / each) for each in masks], **options
    )
    expected = model.stylize_picture(
        images.read(place / "photo.png"), theirs, mask=[place / each for each in masks], **options
    )
    assert isinstance(picture.image, np.ndarray)
    one, other = (np.asarray(images.to_pil(each)).astype(int) for each in (picture, expected))
    assert one.shape == other.shape == (75, 96, 4)
    return int(np.abs(one - other).max())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"strength": 0.6},
        {"strength": 0.1},
        {"strength": 0},
        {"keep_color": "luminance"},
        {"keep_color": "histogram"},
        {"mask": ["mask.png"]},
        {"mask": ["mask.png"], "strength": 0.5, "keep_color": "luminance"},
    ],
    ids=str,
)
def test_every_control_gives_the_same_as_torch(
    model: Model, exported: ExportedModel, place: Path, options: dict[str, Any]
) -> None:
    assert both(model, exported, place, [("style0.png", 1.0)], **options) <= 1


def test_styles_are_blended_and_divided_among_masks_as_by_torch(
    model: Model, exported: ExportedModel, place: Path
) -> None:
    assert both(model, exported, place, [("style0.png", 2.0), ("style1.png", 1.0)]) <= 1
    assert both(model, exported, place, [("style0.png", 1.0), ("style1.png", 1.0)], mask=["mask.png"]) <= 1


def test_style_files_keep_working(model: Model, exported: ExportedModel, place: Path) -> None:
    write_style(place / "learned.style", model.style(place / "style1.png"))
    assert both(model, exported, place, [("learned.style", 1.0)]) <= 1
    assert both(model, exported, place, [("learned.style#1", 1.0)]) <= 1
    with raises(StylekitError, "learned.style#2", "looks 1 to 1"):
        exported.style(f"{place / 'learned.style'}#2")
    with raises(StylekitError, "learned.style", "scale"):
        exported.style(str(place / "learned.style"), 2.0)


def test_a_larger_scale_of_the_style_is_described_as_by_torch(
    model: Model, exported: ExportedModel, place: Path
) -> None:
    ours = exported.style(str(place / "style0.png"), 1.5).statistics
    theirs = model.style(place / "style0.png", 1.5).statistics
    assert ours.keys() == theirs.keys()
    for name, rows in theirs.items():
        torch.testing.assert_close(torch.from_numpy(ours[name]), rows, rtol=0.01, atol=0.002)


def test_the_files_were_exported_from_the_model_that_ships(model: Model, shipped: Path) -> None:
    file = ExportedFile(shipped)
    assert file.card.weights == module_digest(model.method)
    assert file.card.style_key == model.style_key
    checks = verify(file)
    assert [check.size for check in checks] == [[64, 96], [61, 83], [150, 101]]
    assert max(check.difference for check in checks) < 0.5


def test_what_is_wrong_is_one_sentence(exported: ExportedModel, place: Path) -> None:
    with raises(StylekitError, "nowhere.png"):
        exported.style("nowhere.png")
    with raises(StylekitError, "needs a style"):
        exported.stylize_picture(images.read(place / "photo.png", arrays=True))
    with raises(StylekitError, "strength", "2"):
        exported.stylize_picture(images.read(place / "photo.png", arrays=True), strength=2)
    with raises(StylekitError, "direction", "again"):
        exported.resolve_options({"direction": "b-to-a"})


def test_torch_is_not_imported(place: Path) -> None:
    code = (
        "import sys; from stylekit.cli import main; sys.argv = ['stylekit', *sys.argv[1:]]; main(); "
        "assert 'onnxruntime' in sys.modules; heavy = {'torch', 'matplotlib', 'lightning_fabric', 'filelock', 'ninja'}; "
        "assert not heavy & {*sys.modules}"
    )
    command = ["stylize", place / "photo.png", "--style", place / "style0.png", "-o", place / "out.png"]
    controls = ["--strength", "0.7", "--keep-color", "histogram", "--mask", place / "mask.png", "--max-size", "64"]
    line = [sys.executable, "-c", code, *command, *controls]
    done = subprocess.run([str(each) for each in line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, f"wrote 1 of 1 images to {place / 'out.png'}\n")
    assert images.size(place / "out.png") == (50, 64)
