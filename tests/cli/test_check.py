"""``stylekit check``: a line for what is good, a line for each fault, and an exit code for scripts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.testing.samples import WEIGHTED

if TYPE_CHECKING:
    from tests.cli.conftest import Program
    from tests.conftest import Install

OTHER = "class Other(Loss):\n    def __init__(self):\n        super().__init__()\n\n@hookimpl"
LOSSES = WEIGHTED.replace("@hookimpl", OTHER).replace('{"mine": Loss}', '{"mine": Loss, "other": Other}')


def test_a_plugin_a_line_for_each_part(program: Program, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(LOSSES)
    told = program("check", tmp_path / "mine.py")
    assert (told.code, told.err) == (0, "")
    plugin, *losses = told.out.splitlines()
    assert plugin.startswith("plugin mine: good, 6 checks (loss mine, other; imports in ")
    assert losses == ["loss mine: good, 9 checks (image loss)", "loss other: good, 9 checks (image loss)"]


def test_every_fault_is_a_line_and_the_rest_is_still_told(program: Program, tmp_path: Path) -> None:
    source = LOSSES.replace("weight: float", "weight").replace(".mean()\n", ".mean().float()\n", 1)
    (tmp_path / "mine.py").write_text("print('hello')\n" + source.replace("Other(Loss)", "Other(nn.L1Loss)"))
    told = program("check", tmp_path / "mine.py")
    assert (told.code, told.err) == (1, "")
    assert [line.split(": ")[0] for line in told.out.splitlines()[1:]] == [  # the first is the plugin's own
        "FAULT plugin mine, import",
        "FAULT loss mine, options",
        "FAULT loss mine, float64",
        "loss other",
    ]
    assert "Importing it prints 'hello': leave that out" in told.out


@pytest.mark.parametrize(
    ("good", "bad", "told"),
    [
        ("def stylekit_losses", "def stylekit_loses", "stylekit_loses"),
        ("from torch", "STYLEKIT_API = 99\nfrom torch", "was written for version 99 of the plugin contract"),
        ("from torch", "import nothing_of_this_name\nfrom torch", "ModuleNotFoundError: No module named 'nothing_of_"),
        ("from torch", "import random random\nfrom torch", "SyntaxError"),
        ('return {"mine": Loss', 'return {"mine": Lost', "NameError: name 'Lost' is not defined"),
    ],
    ids=["hook", "contract", "import", "syntax", "late"],
)
def test_a_plugin_that_does_not_load_is_one_fault(
    program: Program, tmp_path: Path, good: str, bad: str, told: str
) -> None:
    assert good in LOSSES
    (tmp_path / "mine.py").write_text(LOSSES.replace(good, bad))
    said = program("check", tmp_path / "mine.py")
    assert (said.code, said.err) == (1, "")
    (line,) = said.out.splitlines()
    assert line.startswith("FAULT plugin mine, loads: plugin 'mine'")
    assert told in line


def test_a_plugin_that_only_follows_runs(program: Program, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from stylekit import hookimpl\n\n@hookimpl\ndef stylekit_run_finished(run, step):\n    pass\n"
    )
    assert program("check", tmp_path / "mine.py").out.startswith("plugin mine: good, 6 checks (follows runs; imports")


def test_what_needs_more_is_said_to_be_not_tried(program: Program, tmp_path: Path) -> None:
    source = LOSSES.replace("weight: float = 1.0", "weight: float").replace(
        "super().__init__()\n\n@", "super().__init__(1.0)\n\n@"
    )
    (tmp_path / "mine.py").write_text(source)
    told = program("check", tmp_path / "mine.py")
    assert (told.code, told.err) == (0, "")
    assert told.out.splitlines()[1] == "loss mine: not tried: needs the option 'weight' (a factor)"


def test_a_part_that_ends_the_process_is_a_fault(program: Program, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(LOSSES.replace("self.weight = weight", "raise SystemExit(0)"))
    told = program("check", tmp_path / "mine.py")
    assert (told.code, told.err) == (1, "")
    assert "FAULT loss mine, builds: It fails in line 14 of" in told.out


def test_nothing_is_not_checked(program: Program) -> None:
    assert program("check", "").error.startswith("Say what is to be checked: a plugin, a .py file,")


def test_debug_shows_where_each_fault_came_from(program: Program, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(LOSSES.replace("(output - reference)", "(output - nothing)"))
    told = program("check", tmp_path / "mine.py", "--debug")
    assert told.code == 1
    assert "FAULT loss mine, scalars: It fails in line 17 of" in told.out
    assert "in forward\n" in told.err
    assert "NameError: name 'nothing' is not defined" in told.err


def test_one_part_is_checked_by_its_name(program: Program) -> None:
    assert program("check", "lsgan").out == (
        "loss lsgan: good, 9 checks (adversarial: real, fake, fool; several scales)\n"
    )


def test_a_name_that_is_not_there(program: Program) -> None:
    assert program("check", "cyclgan").error.startswith(
        "There is no plugin, no part and no package 'cyclgan'. Did you mean 'cyclegan'? There are: "
    )


def test_a_package_is_checked_whole(program: Program, install: Install) -> None:
    install("tulips", "garden", LOSSES)
    told = program("check", "Tulips")
    assert (told.code, told.err) == (1, "")
    assert told.out.splitlines() == [
        "FAULT plugin garden, metadata: tulips does not require stylekit: add 'stylekit' to dependencies in its "
        "pyproject.toml.",
        "loss mine: good, 9 checks (image loss)",
        "loss other: good, 9 checks (image loss)",
    ]
