"""``stylekit style``: a folder of pictures becomes a small file, which is shown and used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from stylekit import images, make
from stylekit.color import color_stats
from stylekit.inference.model import Model, load
from stylekit.inference.model_files import save_model
from stylekit.inference.styles import Style, read_style

if TYPE_CHECKING:
    from tests.cli.conftest import Paint, Program

PCA = ("--model", "color-pca")


@pytest.fixture(scope="module")
def descent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file of a tiny descent, without any training. Nobody writes there."""
    path = tmp_path_factory.mktemp("descent") / "tiny.safetensors"
    torch.manual_seed(0)
    tiny = {"plan": (1, 0), "widths": (8, 8), "encoder": {"name": "random", "scales": 1, "width": 8}}
    save_model(make("method", {"name": "descent", **tiny}), "descent", path)
    return path


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
    for more in ((), ("-o", folder / "sheet.png")):
        error = program("style", "show", folder / "my.style", "--model", "nowhere", *more).error
        assert error.startswith("There is no model nowhere")


def test_a_sheet_is_not_written_over_what_it_shows(program: Program, paint: Paint, folder: Path) -> None:
    assert program("style", "learn", folder / "in", "-o", folder / "my.style", *PCA).code == 0
    photo = paint(folder / "photo.png")
    before = photo.read_bytes()
    line = ["style", "show", folder / "my.style", *PCA, "--content", photo]
    assert "photo.png is one of the pictures to read, and is not overwritten." in program(*line, "-o", photo).error
    assert "my.style is one of the" in program(*line, "-o", folder / "my.style").error
    assert photo.read_bytes() == before
    assert program(*line, "-o", folder / "none" / "sheet.png").error == (
        f"{folder}/none/sheet.png cannot be written: there is no folder {folder}/none."
    )


def test_an_error_that_no_one_expected_leaves_one_picture_out(
    program: Program, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = Model.style

    def style(self: Model, source: Path, scale: float) -> Style:
        if source.name == "0.png":
            raise KeyError("mean")
        return usual(self, source, scale)

    monkeypatch.setattr(Model, "style", style)
    told = program("style", "learn", folder / "in", "-o", folder / "my.style", *PCA)
    assert (told.code, "my.style: 5 pictures" in told.out) == (0, True)
    assert f"Warning: Left out: {folder}/in/0.png: KeyError: 'mean', in line " in told.err


def test_where_a_style_goes_is_tested_before_the_work(
    program: Program, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stylekit.inference.model.Model.style", lambda *given: pytest.fail("a picture was looked at"))
    (folder / "folder.style").mkdir()
    for out, told in {"none/my.style": f"there is no folder {folder}/none", "folder.style": "it is a folder"}.items():
        error = program("style", "learn", folder / "in", "-o", folder / out, *PCA).error
        assert error == f"{folder}/{out} cannot be written: {told}."


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


def test_a_model_learns_on_for_the_style(
    program: Program, paint: Paint, folder: Path, descent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(folder / "photos" / "one.png")
    photo = paint(folder / "photos" / "two.png", seed=3)
    monkeypatch.chdir(folder)
    told = program("style", "learn", "in", "-o", "my.style", "--model", descent, "--tune", "photos", "--tune-steps", 2)
    assert told.code == 0, told
    first, second = told.out.splitlines()
    assert first.startswith("my.style: 6 pictures, ")
    assert second == "Use it: stylekit stylize PICTURE --model my.safetensors --style my.style -o OUT"
    settings = json.loads((folder / "my-tuning" / "run.json").read_text())["settings"]
    assert (settings["steps"], settings["init"], settings["set"]["lr"]) == (2, str(descent), 5e-4)
    assert settings["set"]["plan"] == [1, 0]
    assert settings["data"]["content"] == str(folder / "photos")
    assert settings["data"]["style"] == str(folder / "in")
    before, after = (load(path, "cpu").method for path in (descent, folder / "my.safetensors"))
    old, new = before.state_dict(), after.state_dict()
    moved = {name: float((new[name] - old[name]).abs().max()) for name in old}
    assert 0 < max(moved.values()) < 2e-3  # steps about as long as the learning rate
    assert moved["encoder.filters"] == moved["encoder.bias"] == 0  # they describe styles
    assert (after.arguments["lr"], after.arguments["plan"]) == (5e-4, (1, 0))
    done = program(
        *second.removeprefix("Use it: stylekit ").replace("PICTURE", str(photo)).replace("OUT", "o.png").split()
    )
    assert done.code == 0, done
    assert (folder / "o.png").is_file()
    again = program("style", "learn", "in", "-o", "my.style", "--model", descent, "--tune", "photos")
    assert again.error == "my.safetensors is there already. Remove it, or give the style file another name."
    (folder / "my.safetensors").unlink()
    assert program("style", "learn", "in", "-o", "my.style", "--model", descent, "--tune", "photos").error.startswith(
        "my-tuning is there already."
    )


def test_what_cannot_be_tuned(program: Program, folder: Path, descent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    line = ("style", "learn", "in", "-o", "my.style", "--tune")
    assert program(*line, "in", *PCA).error == "A model of the method 'color-pca' cannot be tuned. Leave --tune out."
    assert program(*line, "nowhere", "--model", descent).error.startswith("nowhere is no folder with pictures (.bmp")
    (folder / "empty").mkdir()
    assert program(*line, "empty", "--model", descent).error.startswith("empty is no folder with pictures (.bmp")
    assert program(*line, "in", "--model", descent, "--tune-steps", 0).code == 2
    assert sorted(path.name for path in folder.iterdir()) == ["empty", "in"]
