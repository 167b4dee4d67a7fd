"""The plugin for pytest, as a plugin's own tests use it: in a process and a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stylekit.testing.catalogue import PLUGIN, checks_of
from tests.facts import assert_mentions
from tests.testing.samples import ADVERSARIAL, WEIGHTED

TEST = """
import pytest

@pytest.mark.stylekit("SUBJECT")
def test_it_does_what_the_contract_says(stylekit_check):
    stylekit_check()
"""
OF_PLUGIN, OF_LOSS = len(checks_of(PLUGIN)), len(checks_of("loss"))


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


@pytest.mark.long
@pytest.mark.parametrize(("source", "kind"), [(WEIGHTED, "loss"), (ADVERSARIAL, "adversarial")])
def test_there_is_a_test_for_every_check_of_every_part(tmp_path: Path, source: str, kind: str) -> None:
    (tmp_path / "mine.py").write_text(source)
    code, output = run(tmp_path, TEST.replace("SUBJECT", "mine.py"))
    assert code == 0, output
    name = "test_mine.py::test_it_does_what_the_contract_says"
    for subject in (PLUGIN, kind):
        for check in checks_of(subject):
            assert f"{name}[{subject}-mine-{check.name}] PASSED" in output
    assert f"{OF_PLUGIN + len(checks_of(kind))} passed" in output


@pytest.mark.slow
def test_only_the_check_that_finds_a_fault_fails_and_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(WEIGHTED.replace("weight: float", "weight"))
    code, output = run(tmp_path, TEST.replace("SUBJECT", "mine.py"), "-k", "loss-mine")
    assert code == 1
    assert f"1 failed, {OF_LOSS - 1} passed" in output
    (message,) = [line for line in output.splitlines() if line.startswith("loss mine, options:")]
    assert_mentions(message, "type", "option weight")
    assert "Traceback" not in output
    assert "kit.py" not in output
    assert "another exception" not in output


@pytest.mark.slow
def test_a_file_is_found_next_to_the_test_or_in_the_root_folder(tmp_path: Path) -> None:
    inner = tmp_path / "tests"
    inner.mkdir()
    (inner / "test_inner.py").write_text(TEST.replace("SUBJECT", "mine.py"))
    (inner / "mine.py").write_text(WEIGHTED)
    (tmp_path / "rooted.py").write_text(WEIGHTED)
    code, output = run(tmp_path, TEST.replace("SUBJECT", "rooted.py"), "-k", "builds or loads")
    assert (code, "4 passed" in output) == (0, True), output


@pytest.mark.slow
def test_a_part_that_needs_an_option_is_skipped_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(WEIGHTED.replace("weight: float = 1.0", "weight: float"))
    code, output = run(tmp_path, TEST.replace("SUBJECT", "mine.py"), "-k", "loss-mine", "-rs")
    assert code == 0, output
    skipped = f"1 passed, {OF_LOSS - 1} skipped"
    assert skipped in output.replace(f"{OF_PLUGIN} deselected, ", "").replace(f", {OF_PLUGIN} deselected", "")
    (message, *_) = [line for line in output.splitlines() if line.startswith("SKIPPED")]
    assert_mentions(message, "loss mine", "'weight'", "a factor")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("test", "plugin", "facts"),
    [
        (TEST.replace("SUBJECT", "nothing-here"), WEIGHTED, ("'nothing-here'",)),
        (TEST.replace("SUBJECT", "nowhere.py"), WEIGHTED, ("nowhere.py",)),
        (TEST.replace("SUBJECT", "mine.py"), "import no_such_thing", ("mine", "ModuleNotFoundError", "no_such_thing")),
        (TEST.replace('@pytest.mark.stylekit("SUBJECT")', ""), WEIGHTED, ("@pytest.mark.stylekit(", "test_mine.py")),
    ],
    ids=["unknown", "no file", "broken", "unmarked"],
)
def test_a_missing_subject_is_an_error_of_collection(
    tmp_path: Path, test: str, plugin: str, facts: tuple[str, ...]
) -> None:
    (tmp_path / "mine.py").write_text(plugin)
    code, output = run(tmp_path, test)
    assert code == 2
    _, heading, message = output.partition("ERROR collecting test_mine.py")  # the lines above name this Python
    assert heading
    assert_mentions(message, *facts)
    assert "Traceback" not in output
    assert "stylekit/" not in message


def test_importing_it_is_light() -> None:
    heavy = "{'torch', 'pydantic', 'stylekit.testing.kit'}"
    script = f"import sys, stylekit.testing.pytest_plugin; print({heavy} & sys.modules.keys() or 'light')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "light\n"
