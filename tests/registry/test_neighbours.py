"""A plugin file may import the modules next to it, in the processes that load data too, and never those of another plugin."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import stylekit
from stylekit import StylekitError
from stylekit.registry import loading, lookup
from stylekit.registry.loading import load_hooks
from stylekit.testing.catalogue import examine
from stylekit.testing.subjects import find_subjects
from tests.facts import raises

PLUGIN = """
import torch
from torch import nn
from stylekit import Method, Player, hookimpl, turn
from NEXT import GOAL, Greys

class Tint(Method):
    reads = "greys"
    batch_keys = ("content",)

    def __init__(self):
        super().__init__()
        self.net = nn.Conv2d(3, 3, 1)

    def players(self):
        return {"net": Player(self.net)}

    @turn("net")
    def near(self, batch, made):
        return {"far": (self.net(batch["content"]) - GOAL).square().mean()}

    def stylize(self, content, style=None):
        return self.net(content).clamp(0, 1)

@hookimpl
def stylekit_methods():
    return {"NAME": Tint}

@hookimpl
def stylekit_datasets():
    return {"greys": Greys}
"""
NEXT = '''
import torch

GOAL = SHADE

class Greys:
    """Grey images.

    Args:
        data: not used
    """

    item_keys = ("content",)

    def __init__(self, data: str = "", size: int = 8, seed: int = 0, split: str = "train"):
        self.size = size

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return {"content": torch.full((3, self.size, self.size), GOAL)}
'''


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(loading, "_folders", set())
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(("next_to_", "json_of")):
            del sys.modules[name]


def write(folder: Path, name: str, shade: float = 0.5, next_to: str = "next_to_it") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / f"{next_to}.py").write_text(NEXT.replace("SHADE", str(shade)))
    (folder / f"{name}.py").write_text(PLUGIN.replace("NAME", name).replace("NEXT", next_to))
    return folder / f"{name}.py"


def test_a_module_next_to_the_file_is_found_and_the_path_is_restored(tmp_path: Path) -> None:
    path = list(sys.path)
    plugin = lookup.add_file(write(tmp_path, "tint"))
    assert lookup.loaded_state(plugin) == ("loads", "method tint; dataset greys")
    assert sys.path == path


def test_an_installed_module_of_that_name_comes_first(tmp_path: Path) -> None:
    file = write(tmp_path, "tint")
    (tmp_path / "colorsys.py").write_text("raise RuntimeError")
    file.write_text(f"import colorsys\ncolorsys.rgb_to_hls\n{file.read_text()}")
    assert lookup.loaded_state(lookup.add_file(file))[0] == "loads"


def test_two_files_with_modules_of_different_names_are_independent(tmp_path: Path) -> None:
    one, two = write(tmp_path / "a", "one", next_to="next_to_one"), write(tmp_path / "b", "two", next_to="next_to_two")
    load_hooks(lookup.add_file(one), lookup.add_file(two))
    for file, name in ((one, "next_to_one"), (two, "next_to_two")):
        assert sys.modules[name].__file__ == str(file.parent / f"{name}.py")


def test_two_files_with_different_modules_of_one_name_are_not_mixed(tmp_path: Path) -> None:
    one, two = write(tmp_path / "a", "one", 0.25), write(tmp_path / "b", "two", 0.75)
    load_hooks(lookup.add_file(one))
    with raises(StylekitError, "'two'", "'next_to_it'", two.parent / "next_to_it.py", one.parent, "Rename one"):
        load_hooks(lookup.add_file(two))
    assert sys.modules["next_to_it"].__file__ == str(one.parent / "next_to_it.py")
    two.write_text(two.read_text().replace("next_to_it", "next_to_two"))
    (two.parent / "next_to_two.py").write_text((two.parent / "next_to_it.py").read_text())
    load_hooks(lookup.add_file(two))  # a module of the same name that it does not import does no harm


def test_an_import_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    path = list(sys.path)
    (tmp_path / "bad.py").write_text("import next_to_nothing")
    with raises(StylekitError, "'bad'", "next_to_nothing"):
        load_hooks(lookup.add_file(tmp_path / "bad.py"))
    assert sys.path == path


def test_the_check_finds_no_fault_in_it(tmp_path: Path) -> None:
    subjects = find_subjects(str(write(tmp_path, "tint")))
    faults = [finding for finding in examine(subjects[0]) if finding.fault]
    assert not faults


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_that_load_data_find_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    file = write(tmp_path / "plugin", "tint")
    start = multiprocessing.get_start_method()
    multiprocessing.set_start_method(method, force=True)
    try:
        run = stylekit.train(str(file), data="greys", size=8, steps=2, workers=1, device="cpu", out=tmp_path / "run")
    finally:
        multiprocessing.set_start_method(start, force=True)
    assert (run / "model.safetensors").exists()
