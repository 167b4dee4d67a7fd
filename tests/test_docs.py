"""Every code block in the README and in docs/ is run, in order, in a folder with some pictures."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.method_pictures import RECIPES
from stylekit import Method, hookspecs, images
from stylekit.hookspecs import KINDS
from stylekit.registry.lookup import find_part, part_names
from stylekit.testing.catalogue import PLUGIN, checks_of
from stylekit.training.runs import Run
from stylekit_plugins.datasets.scenes import Scenes
from tests.reader import NOT_RUN, ROOT, Reader, blocks
from tests.venvs import NO_COMPILER, FreshEnvironment, build_wheel
from tests.warm import WarmProgram

DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
INSTALLING = "plugins.md"
"""The document that installs packages, in an environment of its reader's own."""
LONG = {INSTALLING, "evaluation.md", "large_and_video.md", "methods.md", "rasters.md", "restore.md"}
"""Documents whose commands take minutes."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures by the names that the documents use, and weights of the paper's code."""
    import torch

    from stylekit_plugins.generators.resnet import ResNet

    scenes = Scenes(size=64, split="test")
    for index in range(3):
        for place, key in (("photos", "content"), ("paintings", "style"), ("more_photos", "content")):
            (tmp_path / place).mkdir(exist_ok=True)
            images.write(tmp_path / place / f"{index}.png", scenes[index][key])
    pairs = Scenes(size=64, split="test", paired=True)
    for side, key in (("A", "content"), ("B", "style")):
        (tmp_path / "pairs" / side).mkdir(parents=True)
        for index in range(3):
            images.write(tmp_path / "pairs" / side / f"{index}.png", pairs[index][key])
    (tmp_path / "my_paintings").mkdir()
    for index in range(3):
        images.write(tmp_path / "my_paintings" / f"{index}.jpg", scenes[index]["style"])
    shown = {"holiday.jpg": 4, "photo.jpg": 5, "painting.jpg": 6, "texture.png": 7}
    for name, index in shown.items():
        images.write(tmp_path / name, scenes[index]["style" if name in ("painting.jpg", "texture.png") else "content"])
    images.write(tmp_path / "sky.png", torch.ones(3, 64, 64) * (torch.arange(64) < 32)[:, None])
    torch.save(ResNet(blocks=1, width=4).state_dict(), tmp_path / "latest_net_G_A.pth")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"), **NO_COMPILER)


@pytest.fixture(scope="module")
def warm() -> Iterator[WarmProgram]:
    program = WarmProgram()
    yield program
    program.close()


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=pytest.mark.long if path.name in LONG else pytest.mark.slow) for path in DOCS],
    ids=lambda path: path.name,
)
def test_every_code_block_runs(path: Path, folder: Path, warm: WarmProgram, request: pytest.FixtureRequest) -> None:
    if path.name == INSTALLING:
        wheel = request.getfixturevalue("wheel")
        reader = Reader(folder, FreshEnvironment(folder / ".venv"), wheel)
    else:
        reader = Reader(folder, warm=warm)
    for language, code in blocks(path):
        reader.follow(language, code)


def test_the_tutorial_s_file_is_what_a_new_package_begins_with() -> None:
    [shown] = [code for _, code in blocks(ROOT / "docs" / "plugins.md") if code.startswith("# my_style.py\n")]
    assert shown == "# my_style.py\n" + (ROOT / "stylekit" / "cli" / "templates" / "method.py").read_text()
    assert len(shown.splitlines()) < 100


def test_the_commands_that_were_timed_are_those_of_the_tutorial() -> None:
    tutorial, _, rest = (ROOT / "docs" / "plugins.md").read_text().partition("<!-- tutorial -->")
    shown = [
        line for code in re.findall(r"^```console\n(.*?)^```$", tutorial, re.M | re.S) for line in code.splitlines()
    ]
    timed = re.findall(r"^\| `(.*)` \| [\d.]+ \|$", rest.partition("<!-- /tutorial -->")[0], re.M)
    assert timed == [line for line in shown if not line.startswith(("cd ", "mv ")) and NOT_RUN not in line]


def test_the_contract_s_page_tells_of_every_hook_and_of_every_check() -> None:
    page = (ROOT / "docs" / "contract.md").read_text()
    hooks = [name for name in vars(hookspecs) if name.startswith("stylekit_")]
    assert {name: page.count(f"`{name}`") for name in hooks} == dict.fromkeys(hooks, 1)
    rows = dict(re.findall(r"^\| (\w+) \| checks: (.*) \|$", page, re.MULTILINE))
    known = {kind: [check.name for check in checks_of(kind)] for kind in (*KINDS, PLUGIN)}
    assert rows == {kind: ", ".join(names) for kind, names in known.items()}
    demanded = re.findall(r"^\| ([\w ]+) \|", page.partition("| check | what it requires |")[2], re.MULTILINE)
    assert sorted(demanded) == sorted({name for names in known.values() for name in names})
    attributes = [name for name in vars(Method)["__annotations__"] if name != "arguments"]
    assert [name for name in attributes if f"`{name}`" not in page] == []


def test_a_public_object_has_one_import_path() -> None:
    named = re.findall(
        r"^(?:## `([\w.]+)`|\| `([A-Za-z]\w*)(?:\(.*?\))?` \|)", (ROOT / "docs" / "names.md").read_text(), re.M
    )
    paths: dict[int, list[str]] = {}
    module = ""
    for section, name in named:
        module = section or module
        if name and callable(thing := getattr(importlib.import_module(module), name)):
            paths.setdefault(id(thing), []).append(f"{module}.{name}")
    assert len(paths) > 80
    assert [found for found in paths.values() if len(set(found)) > 1] == []


@pytest.mark.slow
def test_the_page_of_names_is_what_the_modules_say() -> None:
    told = subprocess.run([sys.executable, str(ROOT / "docs" / "names.py"), "--check"], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_every_built_in_method_has_a_small_picture_that_says_how_long_it_was_trained() -> None:
    page = (ROOT / "docs" / "methods.md").read_text()
    shown = dict(re.findall(r"^!\[.+\]\(methods/([\w-]+)\.jpg\)\n\n\*`[\w-]+`(.*)\*$", page, re.M))
    factories = {name: find_part("method", name) for name in part_names("method")}
    built_in = {name for name, factory in factories.items() if factory.__module__.startswith("stylekit_plugins.")}
    assert set(shown) == set(RECIPES) == built_in - {"content-gan"}  # which has a larger one
    trained = {name: re.match(r" after (\d+) steps", caption) for name, caption in shown.items()}
    steps = {name: int(found[1]) if found else 0 for name, found in trained.items()}
    assert steps == {name: recipe.steps for name, recipe in RECIPES.items()}
    sizes = {path.stem: path.stat().st_size for path in (ROOT / "docs" / "methods").iterdir()}
    assert set(sizes) == set(RECIPES)
    assert max(sizes.values()) <= 100_000
    assert sum(sizes.values()) <= 1_200_000


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_is_there(path: Path) -> None:
    named = re.findall(r"`((?:stylekit|plugins|benchmarks|examples|tests|docs)/[\w./]*)`", path.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_tables_are_those_of_the_recorded_figures() -> None:
    told = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "report.py"), "--check"], capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr


@pytest.mark.long
def test_the_demo_runs_and_scores(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    command = [sys.executable, str(ROOT / "examples" / "demo.py"), "--steps", "3", "--out", str(out)]
    told = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "A to B: photo to painting" in told.stdout
    assert len(list((out / "pictures").iterdir())) == 100
    assert (out / "held_out.png").exists()
    assert Run(out).metrics()[-1]["step"] == 3


def test_make_is_there_for_the_two_commands() -> None:
    assert shutil.which("make")
    for target in ("demo", "test"):
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)
