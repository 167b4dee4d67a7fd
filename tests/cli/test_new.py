"""``stylekit new``: what it writes installs, passes its own test and runs as it shows; what it refuses, and how."""

from __future__ import annotations

import ast
import builtins
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from stylekit import images
from stylekit.cli.new import KINDS, command, files
from tests.reader import Reader, blocks
from tests.venvs import NO_COMPILER, FreshEnvironment, build_wheel

if TYPE_CHECKING:
    from tests.cli.conftest import Program
    from tests.conftest import Install

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def package(kind: str) -> str:
    """One word, so that the package's folder could hide its module."""
    return f"new{kind}"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Someone with an environment of their own, to which a new package of each kind was installed for editing."""
    fresh = FreshEnvironment(tmp_path_factory.mktemp("environment") / "venv")
    fresh.install(build_wheel(ROOT, tmp_path_factory.mktemp("wheel"), **NO_COMPILER))
    reader = Reader(tmp_path_factory.mktemp("packages"), fresh)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(reader.folder)
        for kind in KINDS:
            command(package(kind), kind)
    reader.type(f"pip install {' '.join(f'-e ./{package(kind)}' for kind in KINDS)}")
    return reader


def test_it_writes_a_package_and_says_what_is_next(program: Program, folder: Path) -> None:
    told = program("new", "van-gogh_2")
    listed, _, after = told.out.partition("Next:\n")
    written = [".gitignore", "README.md", "pyproject.toml", "src/van_gogh_2.py", "tests/test_van_gogh_2.py"]
    assert sorted(listed.split()) == [f"van-gogh_2/{path}" for path in written]
    assert (after, told.err) == ("  cd van-gogh_2\n  pip install -e . pytest\n  pytest\n", "")
    assert "class VanGogh2(Method):" in (folder / "van-gogh_2" / "src" / "van_gogh_2.py").read_text()
    assert 'van-gogh_2 = "van_gogh_2"' in (folder / "van-gogh_2" / "pyproject.toml").read_text()
    for path in written:
        text = (folder / "van-gogh_2" / path).read_text()
        assert not any(name in text for name in ("my-style", "my_style", "MyStyle"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("my style", "'my style' cannot be the name of a package: take lower-case letters, digits"),
        ("../style", "cannot be the name of a package"),
        ("9lives", "cannot be the name of a package"),
        ("style-", "cannot be the name of a package"),
        ("MyStyle", "take lower-case letters"),
        ("class", "leave out the words of Python"),
        ("setup", "'setup' means something else to Python's tools"),
        ("conftest", "means something else"),
        ("test", "means something else"),
        ("tests", "means something else"),
        ("build", "means something else"),
        ("test-style", "means something else"),
        ("style_test", "means something else"),
        ("calendar", "There is a module 'calendar' already"),
        ("pillow", "There is a package 'pillow' already"),
        ("torch", "There is a package 'torch' already"),
        ("lightning_fabric", "There is a package 'lightning_fabric' already"),
        ("stylekit-plugins", "There is a module 'stylekit_plugins' already"),
        ("cyclegan", "The name 'cyclegan' is taken by the plugin 'cyclegan' (stylekit 0.1.0)."),
        ("stylekit", "is taken by the plugin"),
    ],
)
def test_a_name_that_cannot_be_is_refused(program: Program, folder: Path, name: str, told: str) -> None:
    assert told in program("new", name).error
    assert list(folder.iterdir()) == []


def test_a_name_of_an_installed_plugin_package_or_built_in_part_is_refused(
    program: Program, folder: Path, install: Install
) -> None:
    install("somebodys-package", "somebodys", "raise RuntimeError('imported')")
    for name in ("somebodys", "somebodys_package"):  # and nobody imported it: that would warn
        assert "is taken by the plugin 'somebodys' (somebodys-package 1.0)" in program("new", name).error
    told = program("new", "hinge", "--kind", "loss").error
    assert told == "There is a built-in loss 'hinge', which goes first. Choose another name."
    assert program("new", "hinge", "--kind", "encoder").err == ""


def bound(kind: str) -> set[str]:
    """The names that a template gives a meaning, in its module and in those that Python has of itself."""
    tree = ast.parse(files("my-style", kind)["src/my_style.py"])
    aliases = [
        alias for node in ast.walk(tree) if isinstance(node, ast.ImportFrom | ast.Import) for alias in node.names
    ]
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & vars(builtins).keys()
    return {alias.asname or alias.name for alias in aliases} | used


@pytest.mark.parametrize("kind", KINDS)
def test_no_class_hides_what_its_module_uses(kind: str) -> None:
    names = {"-".join(re.findall("[A-Z][a-z]*", name)).lower() for name in bound(kind)} - {""}
    assert {"tensor"} < names
    for name in sorted({*names, "none", "true"}):
        module = files(name, kind)[f"src/{name.replace('-', '_')}.py"]
        (made,) = (node for node in ast.parse(module).body if isinstance(node, ast.ClassDef))
        assert made.name not in bound(kind)
        assert made.name.isidentifier()


def test_a_kind_that_is_none_is_refused(program: Program, folder: Path) -> None:
    told = program("new", "my-style", "--kind", "metod").error
    assert told.startswith("There is no kind of part 'metod'. Did you mean 'method'?")


def test_nothing_is_overwritten(program: Program, folder: Path) -> None:
    (folder / "my-style").mkdir()
    assert program("new", "my-style", "--kind", "loss").code == 0  # an empty folder is no loss
    module = folder / "my-style" / "src" / "my_style.py"
    before = module.read_text()
    assert program("new", "my-style").error.startswith("my-style is there already and is not overwritten.")
    assert module.read_text() == before
    (folder / "a-file").write_text("mine")
    assert "is not overwritten" in program("new", "a-file").error


def test_a_place_that_cannot_be_written_is_one_sentence(program: Program, folder: Path) -> None:
    (folder / "dangling").symlink_to("nowhere")
    assert program("new", "dangling").error == "dangling cannot be written: File exists."
    assert "cannot be written: File name too long." in program("new", "a" * 300).error


@pytest.mark.slow
def test_packages_of_all_kinds_pass_their_tests(packages: Reader) -> None:
    told = packages.run(["pytest", "-W", "error", "-p", "no:cacheprovider", *map(package, KINDS)], "pytest")
    assert {kind for kind in KINDS if f"test_{package(kind)}.py" in told} == set(KINDS)


@pytest.mark.slow
def test_beside_a_package_s_folder_its_module_is_found(packages: Reader) -> None:
    line = (
        "import sys; from importlib.util import find_spec as find; [print(find(name).origin) for name in sys.argv[1:]]"
    )
    found = packages.run(["python", "-c", line, *map(package, KINDS)], "python").splitlines()
    assert found == [str(packages.folder / package(kind) / "src" / f"{package(kind)}.py") for kind in KINDS]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_the_readme_shows_runs(kind: str, packages: Reader) -> None:
    shown = blocks(packages.folder / package(kind) / "README.md")
    assert any("stylekit train" in code or f'make("{kind}"' in code for _, code in shown)
    for language, code in shown:
        packages.follow(language, code)
    if kind == "method":
        images.write(packages.folder / "photo.jpg", images.resize(torch.rand(1, 3, 5, 6), (41, 53)))
        packages.type("stylekit stylize photo.jpg --model runs/newmethod -o out.png")
        assert images.read(packages.folder / "out.png").image.shape == (1, 3, 41, 53)
