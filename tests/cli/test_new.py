"""``stylekit new``: what it writes installs, passes its own test, trains and stylises; what it refuses, and how."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from stylekit import images
from stylekit.cli.new import TRY, files
from stylekit.plugins import KINDS
from tests.venvs import NO_COMPILER, FreshEnvironment, build_wheel

if TYPE_CHECKING:
    from tests.cli.conftest import Program
    from tests.conftest import Install

ROOT = Path(__file__).parents[2]
PLUGIN = """
from stylekit import hookimpl
from torch import nn

@hookimpl
def stylekit_losses():
    return {"far": nn.L1Loss}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> FreshEnvironment:
    """Another environment, with stylekit installed."""
    environment = FreshEnvironment(tmp_path_factory.mktemp("environment") / "venv")
    environment.install(build_wheel(ROOT, tmp_path_factory.mktemp("wheel"), **NO_COMPILER))
    return environment


def test_every_kind_has_a_template() -> None:
    assert TRY.keys() == KINDS.keys()
    assert TRY["method"] in files("my-style", "method")["README.md"]
    for kind in KINDS:
        assert TRY[kind].replace("my-style", "van-gogh") in files("van-gogh", kind)["README.md"]


def test_it_writes_a_package_and_says_what_is_next(program: Program, folder: Path) -> None:
    told = program("new", "van-Gogh_2")
    written = ["README.md", "pyproject.toml", "tests/test_van_gogh_2.py", "van_gogh_2.py"]
    assert sorted(told.out.split()) == [f"van-Gogh_2/{path}" for path in written]
    assert told.err == "Next:\n  cd van-Gogh_2\n  pip install -e . pytest\n  pytest\n"
    assert "class VanGogh2(Method):" in (folder / "van-Gogh_2" / "van_gogh_2.py").read_text()
    assert 'van-Gogh_2 = "van_gogh_2"' in (folder / "van-Gogh_2" / "pyproject.toml").read_text()
    for path in written:
        text = (folder / "van-Gogh_2" / path).read_text()
        assert not any(name in text for name in ("my-style", "my_style", "MyStyle"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("my style", "'my style' cannot be the name of a package: take letters, digits"),
        ("../style", "cannot be the name of a package"),
        ("9lives", "cannot be the name of a package"),
        ("style-", "cannot be the name of a package"),
        ("class", "leave out the words of Python"),
        ("Class", "leave out the words of Python"),
        ("random", "There is a module 'random' already"),
        ("torch", "There is a module 'torch' already"),
        ("stylekit-plugins", "There is a module 'stylekit_plugins' already"),
        ("CycleGAN", "The name 'CycleGAN' is taken by the plugin 'cyclegan' (stylekit 0.1.0)."),
        ("stylekit", "is taken by the plugin"),
    ],
)
def test_a_name_that_cannot_be_is_refused(program: Program, folder: Path, name: str, told: str) -> None:
    assert told in program("new", name).error
    assert list(folder.iterdir()) == []


def test_a_name_of_an_installed_plugin_package_or_part_is_refused(
    program: Program, folder: Path, install: Install
) -> None:
    install("somebodys-package", "somebodys", PLUGIN)
    for name in ("somebodys", "Somebodys_Package"):
        assert "is taken by the plugin 'somebodys' (somebodys-package 1.0)" in program("new", name).error
    assert "There is a loss 'far' already, of somebodys-package 1.0." in program("new", "far", "--kind", "loss").error
    assert program("new", "far", "--kind", "encoder").code == 0


def test_a_kind_that_is_none_is_refused(program: Program, folder: Path) -> None:
    told = program("new", "my-style", "--kind", "metod").error
    assert told.startswith("There is no kind of part 'metod'. Did you mean 'method'?")


def test_nothing_is_overwritten(program: Program, folder: Path) -> None:
    (folder / "my-style").mkdir()
    assert program("new", "my-style", "--kind", "loss").code == 0  # an empty folder is no loss
    before = (folder / "my-style" / "my_style.py").read_text()
    assert program("new", "my-style").error.startswith("my-style is there already and is not overwritten.")
    assert (folder / "my-style" / "my_style.py").read_text() == before
    (folder / "a-file").write_text("mine")
    assert "is not overwritten" in program("new", "a-file").error


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_package_installs_passes_its_test_and_is_tried_out_as_written(
    kind: str, program: Program, folder: Path, fresh: FreshEnvironment
) -> None:
    name = f"new-{kind}"
    project = folder / name
    assert program("new", name, "--kind", kind).code == 0

    def call(*words: str | Path) -> subprocess.CompletedProcess[str]:
        told = fresh.run(*words, OMP_NUM_THREADS="1", COLUMNS="200")
        assert told.returncode == 0, told.stdout + told.stderr
        return told

    pip = ("python", "-m", "pip", "install", "--no-build-isolation", "--no-deps", "--no-index", "-e")
    call(*pip, project)
    tested = call("python", "-m", "pytest", project, "-q", "-W", "error", "-p", "no:cacheprovider")
    assert "passed" in tested.stdout
    assert name in call("stylekit", "plugins").stdout

    words = TRY[kind].replace("my-style", name).split()
    if words[1] == "train":
        small = ["generator.blocks=1", "generator.width=4"] if kind == "discriminator" else []
        words += ["--steps", "20" if kind == "method" else "1", "--size", "32", "--workers", "0"]
        words += [word for option in small for word in ("--set", option)] + ["--out", str(folder / "run")]
    call(*words)
    if kind == "method":
        images.write(folder / "photo.jpg", images.resize(torch.rand(1, 3, 5, 6), (41, 53)))
        call("stylekit", "stylize", folder / "photo.jpg", "--model", folder / "run", "-o", folder / "out.png")
        assert images.read(folder / "out.png").image.shape == (1, 3, 41, 53)
