"""``stylekit stylize``: each style applied to each image."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stylekit.inference.model import Model
from stylekit.inference.styles import Style
from tests.cli.pixels import pixels
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Paint, Program


@pytest.fixture
def styles(place: Path) -> Path:
    """A folder of styles: two images of one name, and a style file below."""
    (place / "styles" / "deep").mkdir(parents=True)
    shutil.copy(place / "red.png", place / "styles" / "red.png")
    shutil.copy(place / "blue.png", place / "styles" / "deep" / "red.png")
    shutil.copy(place / "red.style", place / "styles" / "sea.style")
    return place / "styles"


def test_each_style_of_a_folder_is_described_once_and_applied_to_each_image(
    program: Program, paint: Paint, place: Path, styles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(place / "in" / "a.png")
    paint(place / "in" / "deep" / "b.png", seed=5)
    described: list[str] = []
    style = Model.style

    def recorded(self: Model, source: str, scale: float) -> Style:
        described.append(source)
        return style(self, source, scale)

    monkeypatch.setattr(Model, "style", recorded)
    line = ["stylize", place / "in", "--model", "color-pca", "--style"]
    result = program(*line, styles, "-o", place / "out", "--json")
    assert result.code == 0, result
    assert len(described) == 3
    assert_mentions(result.err, "6 of 6")
    written = {path.relative_to(place / "out").as_posix() for path in (place / "out").rglob("*.png")}
    assert written == {f"{name}-{style}.png" for name in ("a", "deep/b") for style in ("red", "red-2", "sea")}
    assert [entry["style"] for entry in json.loads(result.out)["written"]] == ["red", "red-2", "sea"] * 2
    for source, name in {"deep/red.png": "red", "red.png": "red-2"}.items():
        line[1] = place / "in" / "a.png"
        assert program(*line, styles / source, "-o", place / "alone.png", "--overwrite").code == 0
        assert (pixels(place / "alone.png") == pixels(place / "out" / f"a-{name}.png")).all()


def test_several_styles_are_blended_unless_each_is_asked_for(program: Program, place: Path) -> None:
    line = ["stylize", place / "photo.png", "--model", "color-pca", "--style", place / "red.png"]
    line += ["--style", place / "blue.png", "-o", place / "out"]
    assert program(*line).code == 0
    assert program(*line, "--each-style").code == 0
    assert program(*line, "--name", "{style}").code == 0
    written = sorted(path.name for path in (place / "out").iterdir())
    assert written == ["photo-blue.png", "photo-red.png", "photo.png", "red+blue.png"]
    assert (pixels(place / "out" / "photo.png") == pixels(place / "out" / "red+blue.png")).all()
    assert len({pixels(place / "out" / name).tobytes() for name in written}) == 3


def test_weights_do_not_fit_styles_that_are_not_blended(program: Program, place: Path, styles: Path) -> None:
    line = ["stylize", place / "photo.png", "--model", "color-pca", "-o", place / "out", "--style"]
    weighted = f"{place}/red.png:0.5"
    assert_mentions(program(*line, weighted, "--each-style").error, weighted, "weight", "--each-style")
    assert_mentions(program(*line, weighted, "--style", styles).error, weighted, "weight")


def test_a_style_that_cannot_be_used_fails_with_its_images(program: Program, place: Path, styles: Path) -> None:
    (styles / "broken.png").write_text("text")
    line = ["stylize", place / "photo.png", "--model", "color-pca", "-o", place / "out", "--style", styles]
    result = program(*line)
    assert result.code == 1
    assert_mentions(result.err, "3 of 4", styles / "broken.png")
    assert not (place / "out" / "photo-broken.png").exists()
    shutil.rmtree(place / "out")
    for path in styles.rglob("*.*"):
        path.write_text("text")
    assert program(*line).code == 2  # none can be used
    assert not (place / "out").exists()


def test_one_mask_and_the_template_apply_to_each_style(program: Program, place: Path, styles: Path) -> None:
    line = ["stylize", place / "photo.png", "--model", "color-pca", "-o", place / "out", "--style", styles]
    assert program(*line, "--mask", place / "mask.png", "--name", "{style}/{name}").code == 0
    before = pixels(place / "photo.png")
    for name in ("red", "red-2", "sea"):
        styled = pixels(place / "out" / name / "photo.png")
        assert (styled[:, 20:] == before[:, 20:]).all()
        assert (styled[:, :20] != before[:, :20]).any()


def test_styles_below_the_folder_of_images_are_not_stylised(program: Program, paint: Paint, place: Path) -> None:
    paint(place / "in" / "a.png")
    paint(place / "in" / "styles" / "s.png", seed=4)
    line = ["stylize", place / "in", "--model", "color-pca", "-o", place / "out", "--style", place / "in" / "styles"]
    result = program(*line)
    assert result.code == 0
    assert [path.name for path in (place / "out").iterdir()] == ["a-s.png"]
