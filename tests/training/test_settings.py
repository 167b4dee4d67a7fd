"""Settings that name folders and files: which they are, and that a run finds them from wherever it is resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stylekit.training.settings import validate_settings


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with folders of data sets' and plugins' names."""
    for name in ("patch", "scenes", "tr", "home"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def data(given: Any) -> Any:
    return validate_settings({"plugin": "cyclegan", "data": given}).data


def test_a_folder_that_is_there_goes_before_a_plugin_but_not_before_a_data_set(here: Path) -> None:
    assert data("patch") == str(here / "patch")
    assert data("tr") == str(here / "tr")
    assert data("scenes") == "scenes"
    assert data("./scenes") == str(here / "scenes")
    assert data("resnet") == "resnet"
    assert data("nowhere/at/all") == str(here / "nowhere/at/all")


def test_folders_of_a_data_set_with_options_are_absolute(here: Path) -> None:
    assert data({"name": "folders", "data": "tr", "flip": False}) == {
        "name": "folders", "data": str(here / "tr"), "flip": False,
    }  # fmt: skip
    pair = {"name": "folders", "content": "tr", "style": "~/b", "data": None}
    assert data(pair) == {**pair, "content": str(here / "tr"), "style": str(here / "home/b")}
    assert data({"name": "other", "style": "tr"}) == {"name": "other", "style": "tr"}


def test_folders_and_files_are_absolute_and_the_home_folder_is_known(here: Path) -> None:
    given = {"plugin": "~/mine.py", "content": "~/a", "style": "b", "out": "~/run", "log": ("tensorboard", "log.py")}
    settings = validate_settings(given)
    assert settings.plugin == str(here / "home/mine.py")
    assert (settings.content, settings.style, settings.out) == (here / "home/a", here / "b", here / "home/run")
    assert settings.log == ("tensorboard", str(here / "log.py"))
    assert data("~/c") == str(here / "home/c")
    assert validate_settings(settings.as_json()) == settings


def test_files_among_the_methods_arguments_are_absolute(here: Path) -> None:
    for name in ("night.jpg", "vgg.pth", "resnet"):
        (here / name).touch()
    given = {"styles": ["night.jpg", "~/day.jpg"], "encoder": {"name": "vgg16", "weights": Path("vgg.pth")}, "lr": 0.5}
    assert validate_settings({"plugin": "perceptual", "set": {**given, "generator": "resnet"}}).set == {
        "styles": [str(here / "night.jpg"), "~/day.jpg"],  # the second one is not there
        "encoder": {"name": "vgg16", "weights": str(here / "vgg.pth")},
        "lr": 0.5,
        "generator": "resnet",
    }
