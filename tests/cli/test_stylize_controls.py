"""``stylekit stylize``: styles, weights, masks and the other controls, as in Python, and what is wrong with them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from stylekit.inference.model import load
from tests.cli.pixels import pixels

if TYPE_CHECKING:
    from tests.cli.conftest import Paint, Program


def test_the_command_line_and_python_agree(program: Program, place: Path) -> None:
    lines: list[tuple[list[str], dict[str, object]]] = [
        (["--style", "red.png"], {"style": "red.png"}),
        (["--style", "red.png:0.7", "--style", "blue.png:0.3"], {"style": [("red.png", 0.7), ("blue.png", 0.3)]}),
        (["--style", "red.png", "--mask", "mask.png"], {"style": "red.png", "mask": "mask.png"}),
        (["--style", "red.png", "--strength", "0.4"], {"style": "red.png", "strength": 0.4}),
        (["--style", "red.png", "--keep-color", "histogram"], {"style": "red.png", "keep_color": "histogram"}),
        (["--style", "red.png", "--style-scale", "2.5"], {"style": "red.png", "style_scale": 2.5}),
    ]
    model = load("color-pca", "cpu")
    seen = set()
    for arguments, options in lines:
        line = [f"{place}/{each}" if ".png" in each else each for each in arguments]
        assert program("stylize", place / "photo.png", "--model", "color-pca", *line, "-o", place / "out.png").code == 0
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(place)
            wanted = model.stylize(Image.open("photo.png"), **options)
        assert (pixels(place / "out.png") == np.asarray(wanted)).all(), arguments
        seen.add(pixels(place / "out.png").tobytes())
    assert len(seen) == len(lines)  # each does something of its own


def test_a_model_file_takes_styles(program: Program, adain: Path, place: Path) -> None:
    line = ["stylize", place / "photo.png", "--model", adain, "--style", place / "red.png", "-o", place / "out.png"]
    assert program(*line).code == 0
    wanted = load(adain).stylize(Image.open(place / "photo.png"), place / "red.png")
    assert (pixels(place / "out.png") == np.asarray(wanted)).all()


def test_a_file_name_may_look_like_one_with_a_weight(program: Program, place: Path) -> None:
    shutil.copy(place / "blue.png", place / "red.png:2")
    line = ["stylize", place / "photo.png", "--model", "color-pca"]
    for style, out in {"red.png:2": "odd.png", "blue.png": "blue-out.png", "red.png:2.0": "red-out.png"}.items():
        assert program(*line, "--style", place / style, "-o", place / out).code == 0
    assert (pixels(place / "odd.png") == pixels(place / "blue-out.png")).all()
    assert (pixels(place / "odd.png") != pixels(place / "red-out.png")).any()


def test_a_style_file_is_what_the_picture_is(program: Program, place: Path) -> None:
    for style in ("red.png", "red.style", "red.style#1"):
        line = ["stylize", place / "photo.png", "--model", "color-pca", "--style", place / style]
        assert program(*line, "-o", place / f"out-{style}.png").code == 0
    assert len({pixels(path).tobytes() for path in place.glob("out-*.png")}) == 1


def test_plain_and_transparent_styles_have_a_meaning(program: Program, place: Path) -> None:
    Image.new("RGB", (1, 1), (255, 204, 204)).save(place / "dot.png")
    Image.new("RGBA", (8, 8), (255, 0, 0, 51)).save(place / "glass.png")  # a fifth of red, over white
    for style in ("dot", "glass"):
        line = ["stylize", place / "photo.png", "--model", "color-pca", "--style", place / f"{style}.png"]
        assert program(*line, "-o", place / f"{style}-out.png").code == 0
    assert (pixels(place / "dot-out.png") == (255, 204, 204)).all()
    assert (pixels(place / "glass-out.png") == (255, 204, 204)).all()


ASKED = {
    "a style that is not there": (["--style", "nowhere.jpg"], "There is no style {}/nowhere.jpg. Give a picture."),
    "a style that is no picture": (["--style", "notes.txt"], "{}/notes.txt cannot be read"),
    "a folder for a style": (["--style", "folder"], "{0}/folder is a folder. `stylekit style learn {0}/folder -o mine.style`"),
    "a style of another model": (["--style", "other.style"], "{}/other.style was described by another model"),
    "a damaged style": (["--style", "damaged.style"], "{}/damaged.style is truncated, damaged or no safetensors file"),
    "a style file of another kind": (["--style", "weights.style"], "{}/weights.style is no style file."),
    "a look that is not there": (["--style", "red.style#2"], "The style has the looks 1 to 1, and no look 2."),
    "a look without a number": (["--style", "red.style#two"], "after # comes a look's number"),
    "an empty look": (["--style", "red.style#"], "{}/red.style#: after # comes a look's number."),
    "no style": ([], "The method 'color-pca' needs a style, and none is given. On the command line: --style PICTURE."),
    "weights of zero": (["--style", "red.png:0", "--style", "blue.png:0"], "The weights of the styles sum to zero"),
    "a negative weight": (["--style", "red.png:-1"], "The weight of a style is a number from 0 on, and not -1"),
    "a weight of nan": (["--style", "red.png:nan"], "The weight of a style is a number from 0 on, and not nan."),
    "weights with masks": (["--style", "red.png:2", "--mask", "mask.png"], "With masks each style has its region"),
    "more masks": (["--style", "red.png", "--mask", "mask.png", "--mask", "mask.png"], "there are 2 and 1"),
    "a mask that is no picture": (["--style", "red.png", "--mask", "notes.txt"], "{}/notes.txt cannot be read"),
    "no such mask": (["--style", "red.png", "--mask", "nowhere.png"], "{}/nowhere.png"),
    "a strength above 1": (["--style", "red.png", "--strength", "1.5"], "The strength is a number from 0"),
    "a strength of nan": (["--style", "red.png", "--strength", "nan"], "The strength is a number from 0"),
    "colours kept otherwise": (["--style", "red.png", "--keep-color", "hue"], "Colours are not kept by 'hue'."),
    "a scale of 0": (["--style", "red.png", "--style-scale", "0"], "The style's scale is a number above 0, and not 0.0."),
    "a scaled style file": (["--style", "red.style", "--style-scale", "2"], "red.style is no picture, so it cannot be scaled"),
    "a preview of nothing": (["--style", "red.png", "--preview", "way"], "The method 'color-pca' does not optimise"),
    "steps of nothing": (["--style", "red.png", "--steps", "9"], "The method 'color-pca' has no option 'steps'."),
    "unknown argument": (["--style", "red.png", "--set", "a=1"], "The method 'color-pca' has no option 'a'."),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "told"), ASKED.values(), ids=ASKED)
def test_what_cannot_be_done_is_one_clear_error(program: Program, place: Path, arguments: list[str], told: str) -> None:
    (place / "notes.txt").write_text("no picture")
    (place / "damaged.style").write_bytes((place / "red.style").read_bytes()[:50])
    (place / "folder").mkdir()
    save_file({"a": torch.ones(1)}, place / "weights.style")
    header = {"kind": "style", "key": "0123", "method": "color-pca"}
    save_file({"shares": torch.ones(1), "mean": torch.ones(1, 3)}, place / "other.style", header)
    files = (".png", ".style", ".txt", ".jpg", "folder", "way")
    line = [place / each if any(end in each for end in files) else each for each in arguments]
    error = program("stylize", place / "photo.png", "--model", "color-pca", *line, "-o", place / "out.png").error
    assert told.format(place) in error
    assert not (place / "out.png").exists()


def test_a_method_that_takes_no_style_says_so(program: Program, trained: Path, place: Path) -> None:
    line = ["stylize", place / "photo.png", "--model", trained, "--style", place / "red.png", "-o", place / "out.png"]
    assert program(*line).error == "The method 'cyclegan' takes no style pictures. Leave the style out."


def test_a_mask_of_another_size_fails_for_that_picture_alone(program: Program, paint: Paint, place: Path) -> None:
    other = paint(place / "other.png", 41, 48)
    line = ["--model", "color-pca", "--style", place / "red.png", "--mask", place / "mask.png", "-o", place / "out"]
    told = program("stylize", place / "photo.png", other, *line)
    assert told.code == 1
    assert f"{other}: The mask has 48x40 pixels and the picture 48x41. Give one of the picture's size." in told.err
    styled, before = pixels(place / "out" / "photo.png"), pixels(place / "photo.png")
    assert (styled[:, 20:] == before[:, 20:]).all()
    assert (styled[:, :20] != before[:, :20]).any()
