"""``stylekit style``: a folder of images becomes a small style file, which is shown and used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from stylekit import images, make
from stylekit.images.color import color_stats
from stylekit.inference.loading import load
from stylekit.inference.model import Model
from stylekit.inference.model_files import save_model
from stylekit.inference.styles import Style, read_style
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Paint, Program

PCA = ("--model", "color-pca")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model. No test writes there."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    torch.manual_seed(0)
    options = {"width": 4, "deep": 1, "blocks": 1, "encoder": {"name": "random", "width": 8, "scales": 1}}
    save_model(make("method", {"name": "any-style", **options, "content_layers": {"scale1": 1.0}}), "any-style", path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four dark images, two light ones, and a file that is not an image."""
    for number in range(6):
        noise = torch.rand(1, 3, 12, 14, generator=torch.Generator().manual_seed(number))
        path = tmp_path / "in" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        images.write(path, 0.05 + 0.2 * noise + (0.6 if number in (1, 4) else 0))
    (tmp_path / "in" / "bad.png").write_text("text")
    return tmp_path


def test_a_folder_becomes_a_style_with_looks(program: Program, folder: Path) -> None:
    result = program("style", "learn", folder / "in", "-o", folder / "my.style", *PCA, "--looks", 2)
    assert result.code == 0, result
    first, second = result.out.splitlines()
    assert_mentions(first, folder / "my.style", 6, "2 looks", "67%, 33%", "KiB")
    assert_mentions(second, "stylekit stylize", f"--model color-pca --style {folder}/my.style -o OUT")
    assert result.err.startswith("Warning: ")
    assert_mentions(result.err, folder / "in" / "bad.png")
    style = read_style(folder / "my.style")
    means = {n: color_stats(images.read(folder / "in" / f"{n}.png").image)[0] for n in range(6)}
    for look, members in enumerate([(0, 2, 3, 5), (1, 4)]):
        by_hand = torch.cat([means[number] for number in members]).mean(0)
        torch.testing.assert_close(style.statistics["mean"][look], by_hand)


def test_a_style_file_is_shown_in_words_and_as_an_image(program: Program, folder: Path) -> None:
    assert program("style", "learn", folder / "in", "-o", folder / "my.style", *PCA, "--looks", 2).code == 0
    result = program(
        "style", "show", folder / "my.style", *PCA, "-o", folder / "sheet.png", "--content", folder / "in/0.png"
    )
    assert result.code == 0, result
    lines = result.out.splitlines()
    assert_mentions(lines[0], folder / "my.style", "2 looks", "KiB")
    assert_mentions(lines[1], "method color-pca", f"key {read_style(folder / 'my.style').key}")
    assert_mentions(lines[2], "look 1", "67%")
    assert_mentions(lines[3], "look 2", "33%")
    assert lines[4:6] == ["statistics mean: 3", "statistics root: 3 x 3"]
    assert_mentions(lines[6], "color-pca can use it")
    sheet = np.asarray(Image.open(folder / "sheet.png"))
    content = np.asarray(Image.open(folder / "in" / "0.png"))
    assert (sheet[-16:-4, 4:18] == content).all()  # the content is below its label, in the first column


def test_a_model_that_cannot_use_a_style_file_is_reported(program: Program, folder: Path, trained: Path) -> None:
    assert program("style", "learn", folder / "in", "-o", folder / "my.style", *PCA).code == 0
    result = program("style", "show", folder / "my.style", "--model", trained)
    assert result.code == 0
    assert_mentions(result.out.splitlines()[-1], trained, "cannot use it")
    for more in ((), ("-o", folder / "sheet.png")):
        error = program("style", "show", folder / "my.style", "--model", "nowhere", *more).error
        assert_mentions(error, "model nowhere")


def test_an_image_of_a_style_does_not_overwrite_its_inputs(program: Program, paint: Paint, folder: Path) -> None:
    assert program("style", "learn", folder / "in", "-o", folder / "my.style", *PCA).code == 0
    photo = paint(folder / "photo.png")
    before = photo.read_bytes()
    line = ["style", "show", folder / "my.style", *PCA, "--content", photo]
    assert_mentions(program(*line, "-o", photo).error, photo, "overwritten")
    assert_mentions(program(*line, "-o", folder / "my.style").error, folder / "my.style", "overwritten")
    assert photo.read_bytes() == before
    error = program(*line, "-o", folder / "none" / "sheet.png").error
    assert_mentions(error, folder / "none" / "sheet.png", f"folder {folder}/none.")


def test_an_unexpected_error_leaves_one_image_out(
    program: Program, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = Model.style

    def style(self: Model, source: Path, scale: float) -> Style:
        if source.name == "0.png":
            raise KeyError("mean")
        return usual(self, source, scale)

    monkeypatch.setattr(Model, "style", style)
    result = program("style", "learn", folder / "in", "-o", folder / "my.style", *PCA)
    assert result.code == 0
    assert_mentions(result.out.splitlines()[0], folder / "my.style", 5)
    warning = next(line for line in result.err.splitlines() if "KeyError" in line)
    assert_mentions(warning, "Warning: ", folder / "in" / "0.png", "KeyError: 'mean', in line ")


def test_the_target_of_a_style_is_checked_before_any_image_is_read(
    program: Program, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stylekit.inference.model.Model.style", lambda *given: pytest.fail("an image was read"))
    (folder / "folder.style").mkdir()
    for out, fact in {"none/my.style": f"folder {folder}/none.", "folder.style": "a folder"}.items():
        assert_mentions(program("style", "learn", folder / "in", "-o", folder / out, *PCA).error, folder / out, fact)


def test_looks_and_images_are_blended(program: Program, paint: Paint, folder: Path) -> None:
    assert program("style", "learn", folder / "in", "-o", folder / "my.style", *PCA, "--looks", 2).code == 0
    photo, other = paint(folder / "photo.png"), paint(folder / "other.png", seed=3)
    line = ["--style", f"{folder}/my.style#2:0.3", "--style", f"{other}:0.7", "-o", folder / "out.png"]
    assert program("stylize", photo, *PCA, *line).code == 0
    light = [color_stats(images.read(folder / "in" / f"{n}.png").image)[0] for n in (1, 4)]
    by_hand = 0.3 * (light[0] + light[1]) / 2 + 0.7 * color_stats(images.read(other).image)[0]
    mean = color_stats(images.read(folder / "out.png").image)[0]
    torch.testing.assert_close(mean, by_hand, rtol=0, atol=5e-3)  # 8 bits, and a little is clamped


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["in", "-o", "my.png"], ["my.png", ".style"]),
        (["nowhere", "-o", "my.style"], ["no folder nowhere"]),
        (["empty", "-o", "my.style"], ["empty", ".png"]),
        (["in", "-o", "my.style", "--style-scale", "0"], ["scale", 0.0]),
        (["in", "-o", "my.style", "--model", "nowhere"], ["model nowhere"]),
        (["in", "-o", "none/my.style"], ["none/my.style"]),
    ],
)
def test_wrong_arguments_of_learn_are_errors(
    program: Program, folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], facts: list[object]
) -> None:
    monkeypatch.chdir(folder)
    (folder / "empty").mkdir()
    (folder / "in" / "bad.png").unlink()
    model = () if "--model" in arguments else PCA
    assert_mentions(program("style", "learn", *arguments, *model).error, *facts)
    assert not Path("my.style").exists()


def test_a_method_that_does_not_accept_styles_and_a_folder_without_a_readable_image(
    program: Program, folder: Path, trained: Path
) -> None:
    line = ["style", "learn", folder / "in", "-o", folder / "my.style"]
    assert_mentions(program(*line, "--model", trained).error, "method 'cyclegan'", "style")
    for number in range(6):
        (folder / "in" / f"{number}.png").unlink()
    result = program(*line, *PCA)
    assert result.code == 2
    assert_mentions(result.err.splitlines()[-1], "Error: ", 1, folder / "in")


@pytest.mark.slow
def test_a_model_is_fine_tuned_on_the_style(
    program: Program, paint: Paint, folder: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(folder / "photos" / "one.png")
    photo = paint(folder / "photos" / "two.png", seed=3)
    monkeypatch.chdir(folder)
    result = program("style", "learn", "in", "-o", "my.style", "--model", tiny, "--tune", "photos", "--tune-steps", 2)
    assert result.code == 0, result
    first, second = result.out.splitlines()
    assert_mentions(first, "my.style", 6)
    command = second[second.index("stylekit stylize ") :]
    assert_mentions(command, "--model my.safetensors --style my.style -o OUT")
    settings = json.loads((folder / "my-tuning" / "run.json").read_text())["settings"]
    assert (settings["steps"], settings["init"], settings["set"]["lr"]) == (2, str(tiny), 3e-4)
    assert settings["set"]["width"] == 4
    assert settings["data"]["content"] == str(folder / "photos")
    assert settings["data"]["style"] == str(folder / "in")
    before, after = (load(path, "cpu").method for path in (tiny, folder / "my.safetensors"))
    old, new = before.state_dict(), after.state_dict()
    moved = {name: float((new[name] - old[name]).abs().max()) for name in old}
    assert 0 < max(moved.values()) < 2e-3  # steps about as long as the learning rate
    assert (after.arguments["lr"], after.arguments["width"]) == (3e-4, 4)
    _, verb, _, *rest = command.split()
    done = program(verb, photo, *(word.replace("OUT", "o.png") for word in rest))
    assert done.code == 0, done
    assert (folder / "o.png").is_file()
    again = program("style", "learn", "in", "-o", "my.style", "--model", tiny, "--tune", "photos", "--overwrite")
    assert_mentions(again.error, "my.safetensors", "name")
    (folder / "my.safetensors").unlink()
    again = program("style", "learn", "in", "-o", "my.style", "--model", tiny, "--tune", "photos", "--overwrite")
    assert_mentions(again.error, "my-tuning", "name")


def test_wrong_arguments_of_fine_tuning_are_errors(
    program: Program, folder: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    line = ("style", "learn", "in", "-o", "my.style", "--tune")
    assert_mentions(program(*line, "in", *PCA).error, "method 'color-pca'", "--tune")
    assert_mentions(program(*line, "nowhere", "--model", tiny).error, "no folder nowhere")
    (folder / "empty").mkdir()
    assert_mentions(program(*line, "empty", "--model", tiny).error, "empty", ".bmp")
    assert program(*line, "in", "--model", tiny, "--tune-steps", 0).code == 2
    assert sorted(path.name for path in folder.iterdir()) == ["empty", "in"]
