"""``stylekit style``: a folder of pictures becomes a small file, which is shown and used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from stylekit import images
from stylekit.color import color_stats
from stylekit.styles import read_style

if TYPE_CHECKING:
    from tests.cli.conftest import Paint, Program

PCA = ("--model", "color-pca")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four dark pictures, two light ones, and what is none."""
    for number in range(6):
        noise = torch.rand(1, 3, 12, 14, generator=torch.Generator().manual_seed(number))
        path = tmp_path / "in" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        images.write(path, 0.05 + 0.2 * noise + (0.6 if number in (1, 4) else 0))
    (tmp_path / "in" / "bad.png").write_text("text")
    return tmp_path


def test_a_folder_becomes_a_style_of_its_looks(program: Program, folder: Path) -> None:
    told = program("style", "learn", folder / "in", "-o", folder / "my.style", *PCA, "--looks", 2)
    assert told.code == 0, told
    first, second = told.out.splitlines()
    assert first.startswith(f"{folder}/my.style: 6 pictures, 2 looks (67%, 33%), 0.")
    assert second == f"Use it: stylekit stylize PICTURE --model color-pca --style {folder}/my.style -o OUT"
    assert told.err.startswith(f"Warning: Left out: {folder}/in/bad.png cannot be read")
    style = read_style(folder / "my.style")
    means = {n: color_stats(images.read(folder / "in" / f"{n}.png").image)[0] for n in range(6)}
    for look, members in enumerate([(0, 2, 3, 5), (1, 4)]):
        by_hand = torch.cat([means[number] for number in members]).mean(0)
        torch.testing.assert_close(style.statistics["mean"][look], by_hand)


def test_it_is_shown_and_pictured(program: Program, folder: Path) -> None:
    assert program("style", "learn", folder / "in", "-o", folder / "my.style", *PCA, "--looks", 2).code == 0
    told = program(
        "style", "show", folder / "my.style", *PCA, "-o", folder / "sheet.png", "--content", folder / "in/0.png"
    )
    assert told.code == 0, told
    lines = told.out.splitlines()
    assert lines[0].startswith(f"{folder}/my.style: a style of 2 looks, 0.")
    assert lines[1].startswith("described by the method color-pca, key ")
    assert lines[2:] == [
        "look 1: 67% of the pictures",
        "look 2: 33% of the pictures",
        "statistics mean: 3",
        "statistics root: 3 x 3",
        "color-pca can use it",
    ]
    sheet = np.asarray(Image.open(folder / "sheet.png"))
    content = np.asarray(Image.open(folder / "in" / "0.png"))
    assert (sheet[-16:-4, 4:18] == content).all()  # the content is below its label, in the first of the columns


def test_a_model_that_it_does_not_fit_is_told(program: Program, folder: Path, trained: Path) -> None:
    assert program("style", "learn", folder / "in", "-o", folder / "my.style", *PCA).code == 0
    told = program("style", "show", folder / "my.style", "--model", trained)
    assert (told.code, "cannot use it: The style was described by another model" in told.out) == (0, True)
    error = program("style", "show", folder / "my.style", "--model", "nowhere", "-o", folder / "sheet.png")
    assert (error.code, "There is no model nowhere" in error.err) == (2, True)


def test_looks_and_pictures_are_blended(program: Program, paint: Paint, folder: Path) -> None:
    assert program("style", "learn", folder / "in", "-o", folder / "my.style", *PCA, "--looks", 2).code == 0
    photo, other = paint(folder / "photo.png"), paint(folder / "other.png", seed=3)
    line = ["--style", f"{folder}/my.style#2:0.3", "--style", f"{other}:0.7", "-o", folder / "out.png"]
    assert program("stylize", photo, *PCA, *line).code == 0
    light = [color_stats(images.read(folder / "in" / f"{n}.png").image)[0] for n in (1, 4)]
    by_hand = 0.3 * (light[0] + light[1]) / 2 + 0.7 * color_stats(images.read(other).image)[0]
    mean = color_stats(images.read(folder / "out.png").image)[0]
    torch.testing.assert_close(mean, by_hand, rtol=0, atol=5e-3)  # 8 bits, and a little is clamped


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["in", "-o", "my.png"], "A style file ends in .style"),
        (["nowhere", "-o", "my.style"], "is no folder with pictures"),
        (["empty", "-o", "my.style"], "is no folder with pictures"),
        (["in", "-o", "my.style", "--style-scale", "0"], "The style's scale is a number above 0"),
        (["in", "-o", "my.style", "--model", "nowhere"], "There is no model nowhere"),
        (["in", "-o", "none/my.style"], "cannot be written"),
    ],
)
def test_what_cannot_be_learnt(program: Program, folder: Path, monkeypatch: pytest.MonkeyPatch,
                               arguments: list[str], told: str) -> None:  # fmt: skip
    monkeypatch.chdir(folder)
    (folder / "empty").mkdir()
    (folder / "in" / "bad.png").unlink()
    model = () if "--model" in arguments else PCA
    assert told in program("style", "learn", *arguments, *model).error


def test_a_method_that_takes_no_style_and_a_folder_without_a_readable_one(
    program: Program, folder: Path, trained: Path
) -> None:
    line = ["style", "learn", folder / "in", "-o", folder / "my.style"]
    assert "The method 'cyclegan' takes no style pictures." in program(*line, "--model", trained).error
    for number in range(6):
        (folder / "in" / f"{number}.png").unlink()
    told = program(*line, *PCA)
    assert (told.code, f"None of the 1 pictures in {folder}/in could be looked at." in told.err) == (2, True)
