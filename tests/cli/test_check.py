"""``stylekit check``: one line per part that passes, one per fault, and an exit code for scripts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stylekit.registry.entrypoints import OWN
from stylekit.testing.catalogue import checks_of
from tests.facts import assert_mentions
from tests.testing.samples import WEIGHTED

if TYPE_CHECKING:
    from tests.cli.conftest import Program
    from tests.conftest import Install

OTHER = "class Other(Loss):\n    def __init__(self):\n        super().__init__()\n\n@hookimpl"
IMAGE_LOSS, ADVERSARIAL, PLUGIN = (len(checks_of(kind)) for kind in ("loss", "adversarial", "plugin"))
LOSSES = WEIGHTED.replace("@hookimpl", OTHER).replace('{"mine": Loss}', '{"mine": Loss, "other": Other}')


def test_a_plugin_gets_one_line_per_part(program: Program, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(LOSSES)
    result = program("check", tmp_path / "mine.py")
    assert (result.code, result.err) == (0, "")
    plugin, *losses = result.out.splitlines()
    assert plugin.startswith(f"plugin mine: OK, {PLUGIN} checks (loss mine, other; imports in ")
    assert [line.split(" (")[0] for line in losses] == [
        f"loss {name}: OK, {IMAGE_LOSS} checks" for name in ("mine", "other")
    ]


@pytest.mark.slow
def test_every_fault_is_one_line_and_other_parts_are_still_checked(program: Program, tmp_path: Path) -> None:
    source = LOSSES.replace("weight: float", "weight").replace(".mean()\n", ".mean().float()\n", 1)
    (tmp_path / "mine.py").write_text("print('hello')\n" + source.replace("Other(Loss)", "Other(nn.L1Loss)"))
    result = program("check", tmp_path / "mine.py")
    assert (result.code, result.err) == (1, "")
    assert [line.split(": ")[0] for line in result.out.splitlines()[1:]] == [  # the first is the plugin's own
        "FAULT plugin mine, import",
        "FAULT loss mine, options",
        "FAULT loss mine, float64",
        "loss other",
    ]
    assert_mentions(result.out.splitlines()[0] + result.out.splitlines()[1], "'hello'", "import")


@pytest.mark.parametrize(
    ("good", "bad", "fact"),
    [
        ("def stylekit_losses", "def stylekit_loses", "stylekit_loses"),
        ("from torch", "STYLEKIT_API = 99\nfrom torch", "version 99"),
        ("from torch", "import nothing_of_this_name\nfrom torch", "ModuleNotFoundError: No module named 'nothing_of_"),
        ("from torch", "import random random\nfrom torch", "SyntaxError"),
        ('return {"mine": Loss', 'return {"mine": Lost', "NameError: name 'Lost' is not defined"),
    ],
    ids=["hook", "contract", "import", "syntax", "late"],
)
def test_a_plugin_that_does_not_load_is_one_fault(
    program: Program, tmp_path: Path, good: str, bad: str, fact: str
) -> None:
    assert good in LOSSES
    (tmp_path / "mine.py").write_text(LOSSES.replace(good, bad))
    result = program("check", tmp_path / "mine.py")
    assert (result.code, result.err) == (1, "")
    (line,) = result.out.splitlines()
    assert line.startswith("FAULT plugin mine, loads: ")
    assert_mentions(line, "plugin 'mine'", fact)


@pytest.mark.slow
def test_a_plugin_that_only_follows_runs(program: Program, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from stylekit import hookimpl\n\n@hookimpl\ndef stylekit_run_finished(run, step):\n    pass\n"
    )
    assert program("check", tmp_path / "mine.py").out.startswith(f"plugin mine: OK, {PLUGIN} checks (follows runs")


@pytest.mark.slow
def test_a_part_that_needs_an_option_is_reported_as_not_tried(program: Program, tmp_path: Path) -> None:
    source = LOSSES.replace("weight: float = 1.0", "weight: float").replace(
        "super().__init__()\n\n@", "super().__init__(1.0)\n\n@"
    )
    (tmp_path / "mine.py").write_text(source)
    result = program("check", tmp_path / "mine.py")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[1].startswith("loss mine: not tried: ")
    assert_mentions(result.out.splitlines()[1], "'weight'", "a factor")


@pytest.mark.slow
def test_a_part_that_ends_the_process_is_a_fault(program: Program, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(LOSSES.replace("self.weight = weight", "raise SystemExit(0)"))
    result = program("check", tmp_path / "mine.py")
    assert (result.code, result.err) == (1, "")
    fault = next(line for line in result.out.splitlines() if line.startswith("FAULT loss mine, builds: "))
    assert_mentions(fault, "line 14", "mine.py", "SystemExit")


def test_an_empty_name_is_refused(program: Program) -> None:
    assert_mentions(program("check", "").error, "plugin", ".py", "package", "part")


@pytest.mark.slow
def test_debug_adds_the_traceback_of_each_fault(program: Program, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(LOSSES.replace("(output - reference)", "(output - nothing)"))
    result = program("check", tmp_path / "mine.py", "--debug")
    assert result.code == 1
    fault = next(line for line in result.out.splitlines() if line.startswith("FAULT loss mine, scalars: "))
    assert_mentions(fault, "line 17", "mine.py")
    assert "in forward\n" in result.err
    assert "NameError: name 'nothing' is not defined" in result.err


def test_one_part_is_checked_by_its_name(program: Program) -> None:
    result = program("check", "lsgan")
    assert result.out.startswith(f"adversarial lsgan: OK, {ADVERSARIAL} checks (")
    assert result.out.count("\n") == 1


def test_an_unknown_name_is_refused(program: Program) -> None:
    assert_mentions(program("check", "cyclgan").error, "'cyclgan'", "did you mean 'cyclegan'", "lsgan")


@pytest.mark.slow
def test_a_package_is_checked_whole(program: Program, install: Install) -> None:
    install("tulips", "garden", LOSSES)
    result = program("check", "Tulips")
    assert (result.code, result.err) == (1, "")
    fault, *losses = result.out.splitlines()
    assert fault.startswith("FAULT plugin garden, metadata: ")
    assert_mentions(fault, "tulips", f"'{OWN}'", "dependencies", "pyproject.toml")
    assert [line.split(",")[0] for line in losses] == ["loss mine: OK", "loss other: OK"]
