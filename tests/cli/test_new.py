"""``stylekit new``: the package installs, passes its tests and runs as its README shows; bad names are refused."""

from __future__ import annotations

import ast
import builtins
import errno
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

import stylekit
from stylekit import images
from stylekit.cli.new import WRITABLE, command, files
from stylekit.registry.entrypoints import OWN
from tests.facts import assert_mentions
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
    """A single word, so that the package's folder could shadow its module."""
    return f"new{kind}"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """A fresh environment with a new package of each kind in an editable install."""
    fresh = FreshEnvironment(tmp_path_factory.mktemp("environment") / "venv")
    fresh.install(build_wheel(ROOT, tmp_path_factory.mktemp("wheel"), **NO_COMPILER))
    reader = Reader(tmp_path_factory.mktemp("packages"), fresh)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(reader.folder)
        for kind in WRITABLE:
            command(package(kind), kind)
    reader.type(f"pip install {' '.join(f'-e ./{package(kind)}' for kind in WRITABLE)}")
    return reader


def test_a_package_is_written_and_the_next_commands_are_printed(program: Program, folder: Path) -> None:
    result = program("new", "van-gogh_2")
    listed, _, commands = result.out.partition("Next:\n")
    written = [".gitignore", "README.md", "pyproject.toml", "src/van_gogh_2.py", "tests/test_van_gogh_2.py"]
    assert sorted(listed.split()) == [f"van-gogh_2/{path}" for path in written]
    assert (commands, result.err) == ("  cd van-gogh_2\n  pip install -e . pytest\n  pytest\n", "")
    assert "class VanGogh2(Method):" in (folder / "van-gogh_2" / "src" / "van_gogh_2.py").read_text()
    assert 'van-gogh_2 = "van_gogh_2"' in (folder / "van-gogh_2" / "pyproject.toml").read_text()
    for path in written:
        text = (folder / "van-gogh_2" / path).read_text()
        assert not any(name in text for name in ("my-style", "my_style", "MyStyle"))


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("my style", ["'my style'", "package", "lower-case letters", "digits"]),
        ("../style", ["'../style'", "package"]),
        ("9lives", ["'9lives'", "package", "letter"]),
        ("style-", ["'style-'", "package", "letter"]),
        ("MyStyle", ["'MyStyle'", "lower-case letters"]),
        ("class", ["'class'", "Python"]),
        ("setup", ["'setup'", "Python"]),
        ("conftest", ["'conftest'", "test tools"]),
        ("test", ["'test'", "test tools"]),
        ("tests", ["'tests'", "test tools"]),
        ("build", ["'build'", "packaging"]),
        ("test-style", ["'test-style'", "test tools"]),
        ("style_test", ["'style_test'", "test tools"]),
        ("calendar", ["module 'calendar'"]),
        ("pillow", ["package 'pillow'"]),
        ("torch", ["package 'torch'"]),
        ("lightning_fabric", ["package 'lightning_fabric'"]),
        ("stylekit-plugins", ["module 'stylekit_plugins'"]),
        ("cyclegan", ["plugin 'cyclegan'", f"{OWN} {stylekit.__version__}"]),
        ("stylekit", ["module 'stylekit'"]),
        (OWN, [f"{OWN!r}", "plugin"]),
    ],
)
def test_an_invalid_or_taken_name_is_refused(program: Program, folder: Path, name: str, facts: list[str]) -> None:
    assert_mentions(program("new", name).error, *facts)
    assert list(folder.iterdir()) == []


def test_the_name_of_an_installed_plugin_or_package_or_a_built_in_part_is_refused(
    program: Program, folder: Path, install: Install
) -> None:
    install("somebodys-package", "somebodys", "raise RuntimeError('imported')")
    for name in ("somebodys", "somebodys_package"):  # without importing the plugin, which would fail
        assert_mentions(program("new", name).error, name, "plugin 'somebodys'", "somebodys-package 1.0")
    assert_mentions(program("new", "hinge", "--kind", "adversarial").error, "adversarial 'hinge'", "another name")
    assert program("new", "hinge", "--kind", "encoder").err == ""


def bound(kind: str) -> set[str]:
    """The names that a template uses: its imports and Python's built-ins."""
    tree = ast.parse(files("my-style", kind)["src/my_style.py"])
    aliases = [
        alias for node in ast.walk(tree) if isinstance(node, ast.ImportFrom | ast.Import) for alias in node.names
    ]
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & vars(builtins).keys()
    return {alias.asname or alias.name for alias in aliases} | used


@pytest.mark.parametrize("kind", WRITABLE)
def test_no_class_shadows_a_name_that_its_module_uses(kind: str) -> None:
    names = {"-".join(re.findall("[A-Z][a-z]*", name)).lower() for name in bound(kind)} - {""}
    assert {"tensor"} <= names
    for name in sorted({*names, "none", "true"}):
        module = files(name, kind)[f"src/{name.replace('-', '_')}.py"]
        (made,) = (node for node in ast.parse(module).body if isinstance(node, ast.ClassDef))
        assert made.name not in bound(kind)
        assert made.name.isidentifier()


def test_an_unknown_kind_is_refused(program: Program, folder: Path) -> None:
    error = program("new", "my-style", "--kind", "metod").error
    assert_mentions(error, "kind", "'metod'", "did you mean 'method'")


def test_nothing_is_overwritten(program: Program, folder: Path) -> None:
    (folder / "my-style").mkdir()
    assert program("new", "my-style", "--kind", "loss").code == 0  # an empty folder may be used
    module = folder / "my-style" / "src" / "my_style.py"
    before = module.read_text()
    assert_mentions(program("new", "my-style").error, "my-style", "overwritten", "another name")
    assert module.read_text() == before
    (folder / "a-file").write_text("mine")
    assert_mentions(program("new", "a-file").error, "a-file", "overwritten")


def test_a_path_that_cannot_be_written_is_reported_with_the_reason(program: Program, folder: Path) -> None:
    (folder / "dangling").symlink_to("nowhere")
    assert_mentions(program("new", "dangling").error, "dangling", "already exists")
    assert_mentions(program("new", "a" * 300).error, "a" * 200, os.strerror(errno.ENAMETOOLONG))


def test_a_full_disk_leaves_no_half_package(program: Program, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bytes, written = Path.write_bytes, []

    def on_a_small_disk(path: Path, data: bytes) -> int:
        written.append(path)
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write_bytes(path, data)

    monkeypatch.setattr(Path, "write_bytes", on_a_small_disk)
    assert_mentions(program("new", "my-style").error, "no space left", "my-style")
    assert len(written) == 3
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_packages_of_all_kinds_pass_their_tests(packages: Reader) -> None:
    output = packages.run(["pytest", "-W", "error", "-p", "no:cacheprovider", *map(package, WRITABLE)], "pytest")
    assert {kind for kind in WRITABLE if f"test_{package(kind)}.py" in output} == set(WRITABLE)


@pytest.mark.slow
def test_the_module_is_found_next_to_the_folder_of_its_package(packages: Reader) -> None:
    line = (
        "import sys; from importlib.util import find_spec as find; [print(find(name).origin) for name in sys.argv[1:]]"
    )
    origins = packages.run(["python", "-c", line, *map(package, WRITABLE)], "python").splitlines()
    assert origins == [str(packages.folder / package(kind) / "src" / f"{package(kind)}.py") for kind in WRITABLE]


@pytest.mark.long
@pytest.mark.parametrize("kind", WRITABLE)
def test_the_commands_in_the_readme_run(kind: str, packages: Reader) -> None:
    shown = blocks(packages.folder / package(kind) / "README.md")
    assert any("stylekit train" in code or f'make("{kind}"' in code for _, code in shown)
    for language, code in shown:
        packages.follow(language, code)
    if kind == "method":
        images.write(packages.folder / "photo.jpg", images.resize(torch.rand(1, 3, 5, 6), (41, 53)))
        packages.type("stylekit stylize photo.jpg --model runs/newmethod -o out.png")
        assert images.read(packages.folder / "out.png").image.shape == (1, 3, 41, 53)
