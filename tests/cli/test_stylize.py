"""``stylekit stylize``: one image, and the choice of the model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from stylekit import images
from stylekit.inference.loading import load
from tests.cli.pixels import pixels
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Paint, Program


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 90), (300, 7), (479, 641)])
def test_every_size_is_kept(
    program: Program, paint: Paint, trained: Path, tmp_path: Path, height: int, width: int
) -> None:
    paint(tmp_path / "in.png", height, width)
    result = program("stylize", tmp_path / "in.png", "--model", trained, "-o", tmp_path / "out.png")
    assert (result.code, result.out) == (0, "")
    assert "1 of 1 " in result.err
    assert result.err.endswith(f" {tmp_path}/out.png\n")
    assert pixels(tmp_path / "out.png").shape == (height, width, 3)
    if height > 1:
        assert (pixels(tmp_path / "out.png") != pixels(tmp_path / "in.png")).any()


def test_alpha_is_kept_exactly_and_hidden_colours_have_no_effect(
    program: Program, trained: Path, tmp_path: Path
) -> None:
    alpha = np.arange(40 * 48, dtype=np.uint32).reshape(40, 48).astype(np.uint8)
    colours = np.full((40, 48, 3), 128, np.uint8)
    for name, hidden in {"black.png": 0, "white.png": 255}.items():
        colours[alpha == 0] = hidden
        Image.fromarray(np.dstack([colours, alpha])).save(tmp_path / name)
    line = [tmp_path / "black.png", tmp_path / "white.png", "--model", trained, "-o", tmp_path / "out"]
    assert program("stylize", *line).code == 0
    black, white = (pixels(tmp_path / "out" / name) for name in ("black.png", "white.png"))
    assert (black[..., 3] == alpha).all()
    assert (black == white).all()


def test_orientation_is_applied_and_other_exif_and_the_profile_are_kept(
    program: Program, invert: tuple[Path, Path], tmp_path: Path
) -> None:
    plugin, model = invert
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Artist] = 6, "somebody"  # turned by a quarter
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = Image.new("RGB", (30, 20), "white")
    picture.paste("black", (0, 0, 10, 10))
    picture.save(tmp_path / "in.jpg", exif=exif, icc_profile=profile, quality=95)
    line = [tmp_path / "in.jpg", "--model", model, "--plugin", plugin, "-o", tmp_path / "out.jpg"]
    assert program("stylize", *line).code == 0
    out = Image.open(tmp_path / "out.jpg")
    assert out.size == (20, 30)
    assert out.convert("L").point(lambda v: v > 128).getbbox() == (10, 0, 20, 10)  # the corner, now at the right
    assert ExifTags.Base.Orientation not in out.getexif()
    assert out.getexif()[ExifTags.Base.Artist] == "somebody"
    assert out.info["icc_profile"] == profile


def test_sixteen_bits_and_grey_are_read(program: Program, invert: tuple[Path, Path], tmp_path: Path) -> None:
    plugin, model = invert
    Image.fromarray(np.full((5, 6), 65535, np.uint16)).save(tmp_path / "deep.png")
    Image.new("L", (6, 5), 255).save(tmp_path / "grey.png")
    line = [tmp_path / "deep.png", tmp_path / "grey.png", "--model", model, "--plugin", plugin, "-o", tmp_path / "out"]
    assert program("stylize", *line).code == 0
    for name in ("deep.png", "grey.png"):
        assert not images.read(tmp_path / "out" / name).image.any()


def test_a_model_is_a_run_a_file_or_a_checkpoint(
    program: Program, folders: Path, trained: Path, tmp_path: Path
) -> None:
    shutil.copy(trained / "model.safetensors", tmp_path / "renamed.safetensors")
    for name, model in {
        "run": trained,
        "file": tmp_path / "renamed.safetensors",
        "checkpoint": trained / "checkpoints" / "1",
    }.items():
        line = [folders / "a" / "0.png", "--model", model, "-o", tmp_path / f"{name}.png"]
        assert program("stylize", *line).code == 0
    run, file, checkpoint = (pixels(tmp_path / f"{name}.png") for name in ("run", "file", "checkpoint"))
    assert (run == file).all()
    assert (run != checkpoint).any()  # the run's model holds averaged weights


def test_a_method_in_a_plugin_file_needs_that_file(
    program: Program, paint: Paint, invert: tuple[Path, Path], tmp_path: Path
) -> None:
    plugin, model = invert
    line = [paint(tmp_path / "in.png"), "--model", model, "-o", tmp_path / "out.png"]
    assert_mentions(program("stylize", *line).error, model, "method 'invert'", "--plugin FILE.py")
    assert program("stylize", *line, "--plugin", plugin).code == 0
    assert (255 - pixels(tmp_path / "out.png") == pixels(tmp_path / "in.png")).all()


def test_a_folder_does_not_hide_a_name(
    program: Program, place: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    line = ["stylize", "photo.png", "--style", "red.png", "--overwrite", "-o", "color-pca"]
    for _ in range(2):  # the second time there is a folder of that name
        assert program(*line, "--model", "color-pca").code == 0
    assert_mentions(program(*line, "--model", "./color-pca").error, "folder color-pca", "run")
    shutil.copy(trained / "model.safetensors", place / "color-pca" / "model.safetensors")
    assert load("color-pca", "cpu").name == "cyclegan"  # a folder with a model takes precedence over the name


def test_set_passes_arguments_to_the_method_alone(program: Program, adain: Path, place: Path) -> None:
    line = [
        "stylize",
        place / "photo.png",
        "--style",
        place / "red.png",
        "--overwrite",
        "-o",
        place / "out.png",
        "--set",
    ]
    assert_mentions(program(*line, "device=cpu").error, "--set", "'device'", "--device")
    assert_mentions(program(*line, "method=gatys").error, "--set", "'method'", "--model")
    error = program(*line, "steps=2", "--model", "gatys", "--steps", "6").error
    assert_mentions(error, "--steps", "--set steps=")
    assert program(*line, "encoder.seed=3", "--model", adain).code == 0
    assert load(adain, "cpu", **{"encoder.seed": 3}).method.arguments["encoder"]["seed"] == 3
    error = program(*line, "encoder.sead=3", "--model", adain).error
    assert_mentions(error, adain, "'sead'", "did you mean 'seed'")
    error = program(*line, "encodr.seed=3", "--model", adain).error
    assert_mentions(error, adain, "method 'adain'", "'encodr'", "did you mean 'encoder'")


def test_it_works_in_a_process_of_its_own(process: Program, folders: Path, trained: Path, tmp_path: Path) -> None:
    result = process("stylize", folders / "a", "--model", trained, "-o", tmp_path / "out")
    assert (result.code, result.out, result.err.count("\n")) == (0, "", 1)
    assert_mentions(result.err, "3 of 3", tmp_path / "out")
