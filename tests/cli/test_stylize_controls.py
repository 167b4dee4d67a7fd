"""``stylekit stylize``: styles, weights, masks and the other controls, as in Python, and errors about them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from stylekit.inference.loading import load
from tests.cli.pixels import pixels
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Paint, Program


def test_the_command_line_and_python_agree(program: Program, place: Path) -> None:
    lines: list[tuple[list[str], dict[str, Any]]] = [
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
        line += ["--model", "color-pca", "--overwrite", "-o", f"{place}/out.png"]
        assert program("stylize", place / "photo.png", *line).code == 0
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(place)
            wanted = model.stylize(Image.open("photo.png"), **options)
        assert (pixels(place / "out.png") == np.asarray(wanted)).all(), arguments
        seen.add(pixels(place / "out.png").tobytes())
    assert len(seen) == len(lines)  # each has an effect of its own


def test_a_model_file_takes_styles(program: Program, adain: Path, place: Path) -> None:
    line = ["stylize", place / "photo.png", "--model", adain, "--style", place / "red.png", "-o", place / "out.png"]
    assert program(*line).code == 0
    wanted = load(adain).stylize(Image.open(place / "photo.png"), place / "red.png")
    assert (pixels(place / "out.png") == np.asarray(wanted)).all()


@pytest.mark.slow
def test_a_file_name_may_look_like_a_name_with_a_weight(program: Program, place: Path) -> None:
    shutil.copy(place / "blue.png", place / "red.png:2")
    line = ["stylize", place / "photo.png", "--model", "color-pca"]
    for style, out in {"red.png:2": "odd.png", "blue.png": "blue-out.png", "red.png:2.0": "red-out.png"}.items():
        assert program(*line, "--style", place / style, "-o", place / out).code == 0
    assert (pixels(place / "odd.png") == pixels(place / "blue-out.png")).all()
    assert (pixels(place / "odd.png") != pixels(place / "red-out.png")).any()


def test_a_style_file_gives_what_its_image_gives(program: Program, place: Path) -> None:
    for style in ("red.png", "red.style", "red.style#1"):
        line = ["stylize", place / "photo.png", "--model", "color-pca", "--style", place / style]
        assert program(*line, "-o", place / f"out-{style}.png").code == 0
    assert len({pixels(path).tobytes() for path in place.glob("out-*.png")}) == 1


def test_a_style_of_one_colour_and_a_transparent_style(program: Program, place: Path) -> None:
    Image.new("RGB", (1, 1), (255, 204, 204)).save(place / "dot.png")
    Image.new("RGBA", (8, 8), (255, 0, 0, 51)).save(place / "glass.png")  # a fifth of red, over white
    for style in ("dot", "glass"):
        line = ["stylize", place / "photo.png", "--model", "color-pca", "--style", place / f"{style}.png"]
        assert program(*line, "-o", place / f"{style}-out.png").code == 0
    assert (pixels(place / "dot-out.png") == (255, 204, 204)).all()
    assert (pixels(place / "glass-out.png") == (255, 204, 204)).all()


ERRORS: dict[str, tuple[list[str], list[object]]] = {
    "a missing style": (["--style", "nowhere.jpg"], ["{}/nowhere.jpg"]),
    "a style that is not an image": (["--style", "notes.txt"], ["{}/notes.txt"]),
    "a folder as a style": (["--style", "folder"], ["`stylekit style learn {}/folder -o "]),
    "a style of another model": (["--style", "other.style"], ["{}/other.style", "model"]),
    "a damaged style": (["--style", "damaged.style"], ["{}/damaged.style", "safetensors"]),
    "a file without a style": (["--style", "weights.style"], ["{}/weights.style", "style file"]),
    "a missing look": (["--style", "red.style#2"], ["1 to 1", "look 2"]),
    "a look without a number": (["--style", "red.style#two"], ["{}/red.style#two", "number"]),
    "an empty look": (["--style", "red.style#"], ["{}/red.style#", "number"]),
    "weights of zero": (["--style", "red.png:0", "--style", "blue.png:0"], ["weights", "zero"]),
    "a negative weight": (["--style", "red.png:-1"], ["weight", "-1"]),
    "a weight of nan": (["--style", "red.png:nan"], ["weight", "nan"]),
    "weights with masks": (["--style", "red.png:2", "--mask", "mask.png"], ["weight", "mask"]),
    "more masks than styles": (["--style", "red.png", "--mask", "mask.png", "--mask", "mask.png"], ["masks", 2, 1]),
    "a mask that is not an image": (["--style", "red.png", "--mask", "notes.txt"], ["{}/notes.txt"]),
    "a missing mask": (["--style", "red.png", "--mask", "nowhere.png"], ["{}/nowhere.png"]),
    "a strength above 1": (["--style", "red.png", "--strength", "1.5"], ["strength", 0, 1, 1.5]),
    "a strength of nan": (["--style", "red.png", "--strength", "nan"], ["strength", 0, 1, "nan"]),
    "an unknown keep_color": (["--style", "red.png", "--keep-color", "hue"], ["'hue'", "histogram, luminance"]),
    "a scale of 0": (["--style", "red.png", "--style-scale", "0"], ["scale", 0.0]),
    "a scaled style file": (["--style", "red.style", "--style-scale", "2"], ["{}/red.style", "scale"]),
    "a preview of a network": (["--style", "red.png", "--preview", "previews"], ["'color-pca'", "--preview"]),
    "steps of a network": (["--style", "red.png", "--steps", "9"], ["method 'color-pca'", "'steps'"]),
    "an unknown argument": (["--style", "red.png", "--set", "a=1"], ["method 'color-pca'", "'a'"]),
}


@pytest.mark.parametrize(("arguments", "facts"), ERRORS.values(), ids=ERRORS)
def test_wrong_controls_are_one_error_that_names_them(
    program: Program, place: Path, arguments: list[str], facts: list[object]
) -> None:
    (place / "notes.txt").write_text("not an image")
    (place / "damaged.style").write_bytes((place / "red.style").read_bytes()[:50])
    (place / "folder").mkdir()
    save_file({"a": torch.ones(1)}, place / "weights.style")
    header = {"kind": "style", "key": "0123", "method": "color-pca"}
    save_file({"shares": torch.ones(1), "mean": torch.ones(1, 3)}, place / "other.style", header)
    files = (".png", ".style", ".txt", ".jpg", "folder", "previews")
    line = [place / each if any(end in each for end in files) else each for each in arguments]
    error = program("stylize", place / "photo.png", "--model", "color-pca", *line, "-o", place / "out.png").error
    assert_mentions(error, *(fact.format(place) if isinstance(fact, str) else fact for fact in facts))
    assert not (place / "out.png").exists()


@pytest.mark.slow
def test_a_method_that_does_not_accept_styles_refuses_one(program: Program, trained: Path, place: Path) -> None:
    line = ["stylize", place / "photo.png", "--model", trained, "--style", place / "red.png", "-o", place / "out.png"]
    assert_mentions(program(*line).error, "method 'cyclegan'", "style")
    assert not (place / "out.png").exists()


def test_a_mask_is_scaled_to_each_image(program: Program, paint: Paint, place: Path) -> None:
    other = paint(place / "other.png", 80, 144)
    line = ["--model", "color-pca", "--style", place / "red.png", "--mask", place / "mask.png", "-o", place / "out"]
    assert program("stylize", place / "photo.png", other, *line).code == 0
    for name, edge in {"photo.png": 20, "other.png": 60}.items():  # the mask is white in its first 20 of 48 columns
        styled, before = pixels(place / "out" / name), pixels(place / name)
        assert (styled[:, edge + 2 :] == before[:, edge + 2 :]).all()
        assert (styled[:, : edge - 2] != before[:, : edge - 2]).mean() > 0.9


def test_a_folder_of_masks_has_one_for_each_image(program: Program, paint: Paint, place: Path) -> None:
    half = Image.new("L", (48, 40))
    half.paste(255, (0, 0, 48, 20))
    for name in ("in/a.png", "in/deep/b.png", "in/none.png", "in/two.png"):
        paint(place / name)
    (place / "in/masks/deep").mkdir(parents=True)
    for name in ("a.png", "deep/b.bmp", "two.jpg", "two.bmp"):
        half.save(place / "in" / "masks" / name)
    line = ["--model", "color-pca", "--style", place / "red.png", "--mask", place / "in" / "masks", "-o", place / "out"]
    result = program("stylize", place / "in", *line)
    assert result.code == 1
    first, _, *failures = result.err.splitlines()
    assert_mentions(first, "2 of 4")  # masks below the folder of images are not stylised
    assert_mentions(failures[0], place / "in" / "none.png", "no mask", place / "in" / "masks")
    assert_mentions(failures[1], place / "in" / "two.png", "several masks", "two.bmp", "two.jpg")
    for name in ("a.png", "deep/b.png"):
        styled, before = pixels(place / "out" / name), pixels(place / "in" / name)
        assert (styled[20:] == before[20:]).all()
        assert (styled[:20] != before[:20]).mean() > 0.9


def test_a_folder_of_masks_does_not_fit_a_clip(program: Program, place: Path) -> None:
    (place / "masks").mkdir()
    line = ["--clip", "--model", "color-pca", "--style", place / "red.png", "--mask", place / "masks"]
    assert_mentions(program("stylize", place / "photo.png", *line, "-o", place / "out").error, "--clip", "--mask")
