"""``--with KEY=VALUE``: the options that a method has for each image, on the command line and in Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import stylekit
from stylekit.registry import lookup
from tests.cli.pixels import pixels
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Paint, Program

TINTED = '''
import torch
from pathlib import Path
from typing import Literal
from torch import Tensor
from stylekit import Method, hookimpl

class Tinted(Method):
    """Mixes in a colour, or another image's mean colour."""

    def stylize(self, content, style=None, *, amount: float = 0.5, levels: int = 1, flip: bool = False,
                color: Literal["red", "blue"] = "red", guide: Tensor | None = None, word: str = "x",
                invert: Literal["on", "off"] = "off", file: Path | None = None, map: Tensor | Literal["auto"] = "auto"):
        assert (type(amount), type(levels), type(flip)) == (float, int, bool)
        if invert == "on":
            assert (word, file, map) == ("7e2", Path("2024"), "auto")
            return 1 - content
        tint = torch.tensor([1.0, 0.0, 0.0] if color == "red" else [0.0, 0.0, 1.0]).view(1, 3, 1, 1)
        if guide is not None:
            assert guide.shape[:2] == (1, 3)
            tint = guide.mean((2, 3), keepdim=True)
        mixed = torch.lerp(content, tint.expand_as(content), amount / levels)
        return mixed.flip(-1) if flip else mixed

class Shifted(Method):
    """Adds the style's mean colour, a number of times."""

    def describe(self, style):
        return {"mean": style.mean((2, 3))}

    def transfer(self, content, style, strength=1.0, *, times: int):
        return (content + times * style["mean"][:, :, None, None]).clamp(0, 1)

@hookimpl
def stylekit_methods():
    return {"tinted": Tinted, "shifted": Shifted}
'''


@pytest.fixture
def tinted(tmp_path: Path) -> tuple[str, ...]:
    """The arguments for a method with options of many types."""
    (tmp_path / "tinted.py").write_text(TINTED)
    return ("--model", "tinted", "--plugin", str(tmp_path / "tinted.py"))


@pytest.fixture
def photo(paint: Paint, tmp_path: Path) -> Path:
    return paint(tmp_path / "photo.png", 8, 9)


def mixed(photo: Path, tint: tuple[float, float, float], amount: float) -> np.ndarray:
    return np.round((1 - amount) * pixels(photo) + amount * 255 * np.array(tint)).astype(int)


@pytest.mark.parametrize(
    ("options", "tint", "amount", "flip"),
    [
        ([], (1, 0, 0), 0.5, False),
        (["amount=1"], (1, 0, 0), 1.0, False),
        (["amount=1e-1", "color=blue"], (0, 0, 1), 0.1, False),
        (["levels=2", "flip=true"], (1, 0, 0), 0.25, True),
    ],
)
def test_options_have_the_types_of_the_signature(
    program: Program,
    tinted: tuple[str, ...],
    photo: Path,
    tmp_path: Path,
    options: list[str],
    tint: tuple[float, float, float],
    amount: float,
    flip: bool,
) -> None:
    line = [word for option in options for word in ("--with", option)]
    result = program("stylize", photo, *tinted, *line, "-o", tmp_path / "out.png")
    assert result.code == 0, result
    made = pixels(tmp_path / "out.png").astype(int)
    assert np.abs((made[:, ::-1] if flip else made) - mixed(photo, tint, amount)).max() <= 1


@pytest.mark.parametrize("word", ["word=7e2", "word='7e2'"])
def test_what_the_type_takes_as_text_stays_text(
    program: Program, tinted: tuple[str, ...], photo: Path, tmp_path: Path, word: str
) -> None:
    options = (word, "invert=on", "file=2024", "map=auto")
    line = [part for option in options for part in ("--with", option)]
    assert program("stylize", photo, *tinted, *line, "-o", tmp_path / "out.png").code == 0
    assert (pixels(tmp_path / "out.png") == 255 - pixels(photo)).all()


def test_an_option_that_is_an_image_is_given_by_its_path(
    program: Program, tinted: tuple[str, ...], photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (3, 5), (0, 51, 204)).save("guide.png")
    Image.new("RGBA", (3, 5), (0, 0, 0, 51)).save("glass.png")  # a fifth of black, over white
    for name, tint in {"guide.png": (0, 0.2, 0.8), "glass.png": (0.8, 0.8, 0.8)}.items():
        result = program(
            "stylize", photo, *tinted, "--with", f"guide={name}", "--with", "amount=1", "--overwrite", "-o", "out.png"
        )
        assert result.code == 0, result
        assert np.abs(pixels(Path("out.png")).astype(int) - mixed(photo, tint, 1.0)).max() <= 1


def test_python_and_the_command_line_agree(
    program: Program, tinted: tuple[str, ...], photo: Path, tmp_path: Path
) -> None:
    lookup.add_file(tmp_path / "tinted.py")
    model = stylekit.load("tinted", "cpu")
    given: dict[str, Any] = {"amount": 0.3, "color": "blue", "flip": True}
    line = [word for key, value in given.items() for word in ("--with", f"{key}={value}")]
    assert program("stylize", photo, *tinted, *line, "-o", tmp_path / "out.png").code == 0
    assert (pixels(tmp_path / "out.png") == np.asarray(model.stylize(Image.open(photo), **given))).all()
    guided = model.stylize(Image.open(photo), guide=Image.new("RGB", (2, 2), "white"), amount=1.0)
    assert (np.asarray(guided) == 255).all()


def test_options_of_transfer_are_given_in_the_same_way(
    program: Program, tinted: tuple[str, ...], photo: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (4, 4), (10, 20, 30)).save(tmp_path / "style.png")
    line = ["stylize", photo, *tinted[2:], "--model", "shifted", "--style", tmp_path / "style.png"]
    assert program(*line, "--with", "times=2", "-o", tmp_path / "out.png").code == 0
    expected = np.minimum(pixels(photo).astype(int) + 2 * np.array([10, 20, 30]), 255)
    assert np.abs(pixels(tmp_path / "out.png") - expected).max() <= 1
    assert_mentions(program(*line, "-o", tmp_path / "new.png").error, "method 'shifted'", "'times'")
    assert not (tmp_path / "new.png").exists()


@pytest.mark.parametrize(
    ("option", "facts"),
    [
        ("amuont=1", ["method 'tinted'", "'amuont'", "did you mean 'amount'", "invert, levels"]),
        ("amount=much", ["'amount'", "method 'tinted'", "'much'", "number", 0.5]),
        ("levels=1.5", ["'levels'", 1.5, "integer"]),
        ("flip=perhaps", ["'flip'", "'perhaps'", "boolean"]),
        ("color=green", ["'color'", "'green'", "'red' or 'blue'"]),
        ("guide=nowhere.png", ["nowhere.png"]),
        ("guide=notes.txt", ["notes.txt"]),
        ("guide=3", ["'guide'", 3]),
        ("style=x", ["method 'tinted'", "'style'"]),
        ("=1", ["--with", "KEY=VALUE", "'=1'"]),
    ],
)
def test_a_wrong_option_is_one_error_before_any_image_is_stylised(
    program: Program,
    tinted: tuple[str, ...],
    photo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    facts: list[object],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("not an image")
    assert_mentions(program("stylize", photo, *tinted, "--with", option, "-o", "out").error, *facts)
    assert not Path("out").exists()


def test_a_method_without_options_refuses_one(program: Program, place: Path) -> None:
    line = [
        "stylize",
        place / "photo.png",
        "--model",
        "color-pca",
        "--style",
        place / "red.png",
        "-o",
        place / "out.png",
    ]
    assert_mentions(program(*line, "--with", "direction=b-to-a").error, "method 'color-pca'", "'direction'")


def test_the_directions_of_cyclegan_are_two_networks(
    program: Program, folders: Path, trained: Path, tmp_path: Path
) -> None:
    for out, direction in {
        "usual": [],
        "ab": ["--with", "direction=a-to-b"],
        "ba": ["--with", "direction=b-to-a"],
    }.items():
        line = [folders / "a" / "0.png", "--model", trained, "-o", tmp_path / out, *direction]
        assert program("stylize", *line).code == 0
    usual, ab, ba = (pixels(tmp_path / out / "0.png") for out in ("usual", "ab", "ba"))
    assert (usual == ab).all()
    assert (ab != ba).any()
    model = stylekit.load(trained, "cpu")
    for direction, made in {"a-to-b": ab, "b-to-a": ba}.items():
        assert (np.asarray(model.stylize(Image.open(folders / "a" / "0.png"), direction=direction)) == made).all()


def test_the_option_direction_is_gone(program: Program, folders: Path, trained: Path, tmp_path: Path) -> None:
    line = [folders / "a", "--model", trained, "-o", tmp_path / "out", "--direction", "b-to-a"]
    result = program("stylize", *line)
    assert result.code == 2
    assert "--direction" in result.err
