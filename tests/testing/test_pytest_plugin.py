"""The plugin for pytest, as a plugin's own tests use it: in a process and a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.testing.samples import WEIGHTED

TEST = """
import pytest

@pytest.mark.stylekit("SUBJECT")
def test_it_does_what_the_contract_says(stylekit_check):
    stylekit_check()
"""


def run(folder: Path, test: str, *options: str) -> tuple[int, str]:
    (folder / "test_mine.py").write_text(test)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\nfilterwarnings = error\n")
    line = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "stylekit.testing.pytest_plugin",
        "-p",
        "no:cacheprovider",
        "-v",
        *options,
    ]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "200"}
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_there_is_a_test_for_every_check_of_every_part(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(WEIGHTED)
    code, told = run(tmp_path, TEST.replace("SUBJECT", "mine.py"))
    assert code == 0, told
    name = "test_mine.py::test_it_does_what_the_contract_says"
    for check in ("plugin-mine-import", "plugin-mine-public names", "loss-mine-builds", "loss-mine-devices"):
        assert f"{name}[{check}] PASSED" in told
    assert "15 passed" in told


def test_only_the_check_that_fails_does_and_by_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(WEIGHTED.replace("weight: float", "weight"))
    code, told = run(tmp_path, TEST.replace("SUBJECT", "mine.py"), "-k", "loss-mine")
    assert code == 1
    assert "1 failed, 8 passed" in told
    assert "loss mine, options: Give a type to the option weight, as in width: int = 64" in told
    assert "Traceback" not in told
    assert "kit.py" not in told
    assert "another exception" not in told


def test_a_file_lies_beside_the_test_wherever_pytest_is_started(tmp_path: Path) -> None:
    inner = tmp_path / "tests"
    inner.mkdir()
    (inner / "test_inner.py").write_text(TEST.replace("SUBJECT", "mine.py"))
    (inner / "mine.py").write_text(WEIGHTED)
    (tmp_path / "rooted.py").write_text(WEIGHTED)
    code, told = run(tmp_path, TEST.replace("SUBJECT", "rooted.py"), "-k", "builds or loads")
    assert (code, "4 passed" in told) == (0, True), told


def test_a_part_that_needs_more_is_skipped_and_says_what(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(WEIGHTED.replace("weight: float = 1.0", "weight: float"))
    code, told = run(tmp_path, TEST.replace("SUBJECT", "mine.py"), "-k", "loss-mine", "-rs")
    assert code == 0, told
    assert "1 passed, 8 skipped" in told.replace("6 deselected, ", "").replace(", 6 deselected", "")
    assert "loss mine: needs the option 'weight' (a factor)" in told


@pytest.mark.parametrize(
    ("test", "plugin", "message"),
    [
        (
            TEST.replace("SUBJECT", "nothing-here"),
            WEIGHTED,
            "There is no plugin, no part and no package 'nothing-here'.",
        ),
        (TEST.replace("SUBJECT", "nowhere.py"), WEIGHTED, "nowhere.py."),
        (
            TEST.replace("SUBJECT", "mine.py"),
            "import no_such_thing",
            "could not be imported: ModuleNotFoundError: No module",
        ),
        (
            TEST.replace('@pytest.mark.stylekit("SUBJECT")', ""),
            WEIGHTED,
            "needs to say what is checked: @pytest.mark.stylekit(",
        ),
    ],
    ids=["unknown", "no file", "broken", "unmarked"],
)
def test_a_subject_that_is_not_there_is_an_error_of_collection(
    tmp_path: Path, test: str, plugin: str, message: str
) -> None:
    (tmp_path / "mine.py").write_text(plugin)
    code, told = run(tmp_path, test)
    assert code == 2
    assert "ERROR collecting test_mine.py" in told
    assert message in told
    assert "Traceback" not in told
    _, _, fault = told.partition("ERROR collecting test_mine.py")  # what stands above names this Python and where it is
    assert "stylekit/" not in fault


def test_it_is_light_for_who_does_not_use_it() -> None:
    heavy = "{'torch', 'pydantic', 'stylekit.testing.kit'}"
    script = f"import sys, stylekit.testing.pytest_plugin; print({heavy} & sys.modules.keys() or 'light')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "light\n"
