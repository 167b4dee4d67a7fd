"""``stylekit stylize`` with several models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.cli.pixels import pixels
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Paint, Program

PLUGIN = '''
from stylekit import Method, hookimpl

class Darken(Method):
    """Halves colours, by default."""

    def stylize(self, content, style=None, *, gain: float = 0.5):
        """Stylises.

        Args:
            gain: the factor
        """
        return content * gain

class Invert(Method):
    """Inverts colours."""

    def stylize(self, content, style=None):
        return 1 - content

@hookimpl
def stylekit_methods():
    return {"darken": Darken, "invert": Invert}
'''


@pytest.fixture
def line(paint: Paint, tmp_path: Path) -> list[object]:
    (tmp_path / "parts.py").write_text(PLUGIN)
    paint(tmp_path / "photo.png")
    return ["stylize", tmp_path / "photo.png", "--plugin", tmp_path / "parts.py", "-o", tmp_path / "out.png"]


def test_one_after_the_other(program: Program, line: list[object], tmp_path: Path) -> None:
    assert program(*line, "--model", "darken", "--model", "invert", "--with", "gain=0.25").code == 0
    assert abs(pixels(tmp_path / "out.png") - (255 - pixels(tmp_path / "photo.png") / 4)).max() <= 0.51
    assert program(*line, "--model", "invert", "--model", "darken", "--overwrite").code == 0
    assert abs(pixels(tmp_path / "out.png") - (255 - pixels(tmp_path / "photo.png").astype(float)) / 2).max() <= 0.51


def test_weights_blend_them(program: Program, line: list[object], tmp_path: Path) -> None:
    assert program(*line, "--model", "darken:1", "--model", "invert:3").code == 0
    photo = pixels(tmp_path / "photo.png").astype(float)
    expected = (photo / 2 + 3 * (255 - photo)) / 4
    assert abs(pixels(tmp_path / "out.png") - expected).max() <= 0.51
    assert program(*line, "--model", "invert:0.5", "--overwrite").code == 0  # the only one
    assert (pixels(tmp_path / "out.png") == 255 - pixels(tmp_path / "photo.png")).all()


def test_folders_tiles_and_metadata(program: Program, line: list[object], paint: Paint, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(2):
        paint(tmp_path / "in" / f"{number}.png", 200, 300, seed=number)
    image = Image.open(tmp_path / "in" / "0.png").convert("RGBA")
    image.putalpha(99)
    image.save(tmp_path / "in" / "0.png", dpi=(300, 300))
    options = [
        "--model",
        "color-pca",
        "--model",
        "darken",
        "--style",
        tmp_path / "photo.png",
        "--name",
        "{model}-{name}",
    ]
    line[1], line[-1] = tmp_path / "in", tmp_path / "out"
    assert program(*line, *options).code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "color-pca+darken-0.png",
        "color-pca+darken-1.png",
    ]
    line[-1] = tmp_path / "tiled"
    assert program(*line, *options, "--tile", 128).code == 0
    for path in (tmp_path / "out").iterdir():
        assert abs(pixels(path).astype(int) - pixels(tmp_path / "tiled" / path.name)).max() <= 1
    with Image.open(tmp_path / "tiled" / "color-pca+darken-0.png") as made:
        assert made.info["dpi"] == pytest.approx((300, 300), abs=0.01)
        assert (np.asarray(made)[..., 3] == 99).all()


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ("--model darken:1 --model invert", ["--model invert", "weight"]),
        ("--model darken --model invert --with gian=1", ["darken+invert", "'gian'", "did you mean 'gain'"]),
        ("--model darken --model invert --set gain=1", ["'gain'", "one model"]),
        ("--model darken --model nowhere", ["nowhere"]),
        ("--model darken --model invert --engine onnxruntime", ["--engine onnxruntime", "torch"]),
        ("--model darken --model other.onnx", ["other.onnx", "exported"]),
        ("--model darken:-1 --model invert:1", ["weight", "model", -1.0]),
        ("--model darken --model invert --style photo.png", ["darken+invert", "does not accept style images"]),
    ],
)
def test_bad_input_is_one_sentence(
    program: Program,
    line: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: str,
    facts: list[object],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_mentions(program(*line, *options.split()).error, *facts)
    assert not (tmp_path / "out.png").exists()
