"""Several ``--plugin``: a method by its file and name, and further files with other parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.pixels import pixels
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Paint, Program

METHODS = """
import torch
from torch import nn
from stylekit import Method, Player, hookimpl, turn

class Tint(Method):
    batch_keys = ("content",)

    def __init__(self, goal: float = 0.5):
        super().__init__()
        self.net = nn.Conv2d(3, 3, 1)
        self.goal = goal

    def players(self):
        return {"net": Player(self.net)}

    @turn("net")
    def near(self, batch, made):
        return {"far": (self.net(batch["content"]) - self.goal).square().mean()}

    def stylize(self, content, style=None):
        return self.net(content).clamp(0, 1)

class Invert(Method):
    def stylize(self, content, style=None):
        return 1 - content

@hookimpl
def stylekit_methods():
    return METHODS
"""
STRIPES = '''
import torch
from stylekit import hookimpl

class Stripes:
    """Striped images.

    Args:
        count: how many
    """

    item_keys = ("content",)

    def __init__(self, count: int = 4, size: int = 8, seed: int = 0, split: str = "train"):
        self.count, self.size = count, size

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return {"content": torch.zeros(3, self.size, self.size).index_fill(2, torch.tensor(index), 1.0)}

@hookimpl
def stylekit_datasets():
    return {"stripes": Stripes}
'''
SHORT = ("--size", "8", "--steps", "1", "--workers", "0")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with three files of methods and one of a data set."""
    for name, methods in {
        "both": "tint: Tint, invert: Invert",
        "tint": "tint: Tint",
        "invert": "invert: Invert",
    }.items():
        quoted = (
            "{" + ", ".join(f'"{each.split(": ")[0]}": {each.split(": ")[1]}' for each in methods.split(", ")) + "}"
        )
        (tmp_path / f"{name}.py").write_text(METHODS.replace("METHODS", quoted))
    (tmp_path / "stripes.py").write_text(STRIPES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings_of(run: Path) -> dict[str, object]:
    settings: dict[str, object] = json.loads((run / "run.json").read_text())["settings"]
    return settings


def test_a_method_is_named_with_its_file_and_a_data_set_comes_from_another(program: Program, here: Path) -> None:
    line = ["train", "--plugin", "both.py:tint", "--plugin", "stripes.py", *SHORT, "--out", "run"]
    result = program(*line, "--data", "{name: stripes, count: 3}", "--set", "goal=0.25")
    assert result.code == 0, result
    assert settings_of(here / "run")["plugin"] == [f"{here}/both.py:tint", f"{here}/stripes.py"]
    assert settings_of(here / "run")["data"] == {"name": "stripes", "count": 3}
    assert json.loads((here / "run" / "run.json").read_text())["method"] == {
        "name": "tint", "arguments": {"goal": 0.25},
    }  # fmt: skip


@pytest.mark.slow
def test_a_run_with_several_files_resumes_from_another_folder(
    program: Program, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ["train", "--plugin", "both.py:tint", "--plugin", "stripes.py", "--data", "stripes", "--out", "run"]
    assert program(*line, *SHORT).code == 0
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    files = f"--plugin {here}/both.py:tint --plugin {here}/stripes.py"
    assert_mentions(
        program("train", "--resume", "--out", here / "run", "--steps", 2).error, f"--out {here}/run {files}"
    )
    again = ["--plugin", here / "both.py:tint", "--plugin", here / "stripes.py", "--data", "stripes"]
    assert program("train", "--resume", "--out", here / "run", "--steps", 3, *again).code == 0
    error = program("train", "--resume", "--out", here / "run", "--steps", 4, "--plugin", here / "both.py:invert").error
    assert_mentions(error, "plugin was", f"{here}/both.py:tint", f"{here}/both.py:invert")


def test_an_installed_method_may_use_a_data_set_of_a_file_in_any_order(program: Program, here: Path) -> None:
    (here / "stripes.py").write_text(STRIPES.replace('("content",)', '("content", "style")').replace(
        'return {"content"', 'return {"style": torch.ones(3, self.size, self.size), "content"'
    ))  # fmt: skip
    small = ["--set", "generator.blocks=1", "--set", "generator.width=4", "--set", "discriminator=pixel"]
    line = ["train", "--plugin", "stripes.py", "--plugin", "cyclegan", "--data", "stripes", *SHORT, *small]
    result = program(*line, "--out", "run")
    assert result.code == 0, result
    assert settings_of(here / "run")["plugin"] == [f"{here}/stripes.py", "cyclegan"]


@pytest.mark.parametrize(
    ("plugin", "name"), [("both.py:tint", "tint"), ("tint.py", "tint"), ("./both.py:tint", "tint")]
)
def test_a_new_run_is_named_after_the_method(program: Program, here: Path, plugin: str, name: str) -> None:
    line = ["train", "--plugin", plugin, "--plugin", "stripes.py", "--data", "stripes", *SHORT]
    for _ in range(2):
        assert program(*line).code == 0
    assert sorted(path.name for path in (here / "runs").iterdir()) == [name, f"{name}-2"]


@pytest.mark.parametrize(
    ("plugins", "facts"),
    [
        (["both.py"], ["both.py", "2 methods", "tint, invert", "--plugin FILE.py:tint"]),
        (["tint.py", "invert.py"], ["/tint.py and ", "/invert.py", "2 methods", "tint, invert"]),
        (["both.py:tint", "both.py:invert"], ["both.py:tint", "both.py:invert", "2 methods"]),
        (["cyclegan", "adain"], ["cyclegan and adain", "2 methods"]),
        (["both.py:tin"], ["both.py", "method 'tin'", "did you mean 'tint'"]),
        (["stripes.py"], ["stripes.py", "no method", "stylekit_methods", "--plugin"]),
        (["stripes.py", "cyclgan"], ["method 'cyclgan'", "did you mean 'cyclegan'"]),
        (["tint.py", "nowhere.py"], ["nowhere.py"]),
        (["nowhere.py:tint"], ["nowhere.py"]),
    ],
)
def test_no_method_or_several_are_refused(program: Program, here: Path, plugins: list[str], facts: list[str]) -> None:
    line = [word for plugin in plugins for word in ("--plugin", plugin)]
    assert_mentions(program("train", *line, *SHORT).error, *facts)
    assert not (here / "runs").exists()


def test_a_further_file_may_also_offer_methods_if_one_is_named(program: Program, here: Path) -> None:
    line = ["train", "--plugin", "both.py:tint", "--plugin", "stripes.py", *SHORT, "--out", "run"]
    (here / "stripes.py").write_text(STRIPES + METHODS.replace("METHODS", '{"another": Tint}'))
    result = program(*line, "--data", "stripes")
    assert result.code == 0, result


def test_files_in_a_config_file(program: Program, here: Path) -> None:
    (here / "config.yaml").write_text(
        "plugin: ['both.py:tint', stripes.py]\ndata: {name: stripes, count: 2}\nsize: 8\nsteps: 1\nworkers: 0\nout: run\n"
    )
    assert program("train", "--config", "config.yaml").code == 0
    assert settings_of(here / "run")["data"] == {"name": "stripes", "count": 2}
    assert program("train", "--config", "config.yaml", "--plugin", "invert.py", "--out", "new").code == 2


def test_files_of_the_same_name_in_two_folders_are_refused(program: Program, here: Path) -> None:
    for folder, source in {"methods": "tint.py", "data": "stripes.py"}.items():
        (here / folder).mkdir()
        (here / source).rename(here / folder / "mine.py")
    line = ["train", "--plugin", "methods/mine.py", "--plugin", "data/mine.py", "--data", "stripes", *SHORT]
    assert_mentions(program(*line, "--out", "run").error, "methods/mine.py", "data/mine.py", "rename")


def test_stylize_accepts_several_files(program: Program, paint: Paint, here: Path) -> None:
    photo = paint(here / "photo.png")
    line = ["stylize", photo, "--plugin", "stripes.py", "--plugin", "invert.py", "--model", "invert", "-o", "out.png"]
    result = program(*line)
    assert result.code == 0, result
    assert (255 - pixels(here / "out.png") == pixels(photo)).all()
