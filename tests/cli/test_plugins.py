"""``stylekit plugins``, and commands added by packages."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import stylekit
from stylekit.registry.entrypoints import OWN
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Program
    from tests.conftest import Install

LOSS = """
from stylekit import hookimpl
from torch import nn

@hookimpl
def stylekit_losses():
    return {"NAME": nn.L1Loss}
"""
COMMAND = """
import typer

def water(litres: int, name: str = "tulip") -> None:
    \"\"\"Water the flowers.\"\"\"
    print(f"{litres} litres for the {name}")

garden = typer.Typer(help="What a garden needs.")

@garden.command()
def dig(deep: bool = False) -> None:
    print(f"{deep=}")

@garden.command()
def plant() -> None:
    raise __import__("stylekit").StylekitError("It is winter. Wait for spring.")
"""


def test_the_state_of_each_plugin_is_listed_without_importing_it(
    program: Program, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    install("tulips", "tulip", "raise RuntimeError")
    install("weeds", "weed", "def broken(:", "2.0")
    install("roses", "rose", "STYLEKIT_API = 0")
    install("thieves", "cyclegan", "")
    result = program("plugins")
    assert result.code == 0
    rows = {tuple(line.split()[:2]): line for line in result.out.splitlines()}
    assert rows["tulip", "tulips"].split()[2:] == ["1.0", "installed"]
    assert rows["cyclegan", OWN].split()[2:] == [stylekit.__version__, "installed"]
    assert_mentions(rows["cyclegan", "thieves"], "1.0", "taken:", f"{OWN} {stylekit.__version__}")
    assert_mentions(rows["weed", "weeds"], "2.0", "broken:", "line 1")
    assert_mentions(rows["rose", "roses"], "outdated:", "version 0")


def test_load_imports_each_plugin_and_shows_its_parts_and_the_time(
    program: Program, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    install("tulips", "tulip", "import time; time.sleep(0.3)" + LOSS)
    install("weeds", "weed", "1 / 0")
    install("thorns", "thorn", "raise SystemExit('and out')")
    install("thieves", "scenes", LOSS.replace("NAME", "other"))
    result = program("plugins", "--load")
    assert (result.code, result.err) == (0, "")
    rows = {tuple(line.split()[:2]): " ".join(line.split()[3:]) for line in result.out.splitlines()}
    assert rows["tulip", "tulips"].startswith("loads: loss NAME")
    assert 0.3 <= float(rows["tulip", "tulips"].split()[-1]) < 2
    assert_mentions(
        rows["weed", "weeds"], "broken:", "plugin 'weed' (weeds 1.0)", "ZeroDivisionError: division by zero"
    )
    assert_mentions(rows["thorn", "thorns"], "broken:", "SystemExit: and out")
    assert_mentions(rows["scenes", "thieves"], "taken:", f"{OWN} {stylekit.__version__}", "loss other")
    assert rows["cyclegan", OWN].startswith("loads: method cyclegan")


def test_a_name_in_the_variable_that_is_not_installed_is_reported(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STYLEKIT_PLUGINS", "cyclegan,tulips")
    assert_mentions(program("plugins").out.splitlines()[-1], "STYLEKIT_PLUGINS", "tulips", "not installed")


def test_preset_of_a_plugin_is_shown_with_its_package(program: Program, install: Install) -> None:
    hook = "@hookimpl\ndef stylekit_presets():\n    return {'cyclegan': {'mild': {'cycle': 5}}}"
    install("tulips", "tulip", f"from stylekit import hookimpl\n{hook}")
    assert "preset mild (tulips 1.0): cycle=5" in program("show", "cyclegan").out


def test_a_command_of_a_package_is_listed_without_importing_it_and_runs(program: Program, install: Install) -> None:
    install("tulips", "water", COMMAND, group="stylekit.commands", target=":water")
    install("weeds", "weed", "raise RuntimeError", group="stylekit.commands", target=":weed")
    shown = program("--help").out
    assert "water" in shown
    assert "tulips 1.0" in shown
    assert program("water", 3, "--name", "rose").out == "3 litres for the rose\n"
    assert "Water the flowers." in program("water", "--help").out
    assert "Missing argument" in program("water").err
    assert_mentions(program("weed").error, "'weed'", "weeds 1.0", "import", "RuntimeError")


def test_a_command_may_have_subcommands(program: Program, install: Install) -> None:
    install("tulips", "garden", COMMAND, group="stylekit.commands", target=":garden")
    assert program("garden", "dig", "--deep").out == "deep=True\n"
    assert program("garden", "plant").error == "It is winter. Wait for spring."


def test_a_command_of_two_packages_is_refused_and_a_built_in_one_takes_precedence(
    program: Program, install: Install
) -> None:
    for package in ("tulips", "roses"):
        install(package, "water", COMMAND, group="stylekit.commands", target=":water")
    install("weeds", "doctor", COMMAND, group="stylekit.commands", target=":water")
    error = program("water", 1).error
    assert_mentions(error, "'water'", "roses 1.0", "tulips 1.0", "uninstall", "STYLEKIT_PLUGINS")
    assert "free memory" in program("doctor").out


def test_a_command_that_the_variable_excludes_is_not_available(
    program: Program, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("tulips", "water", COMMAND, group="stylekit.commands", target=":water")
    monkeypatch.setenv("STYLEKIT_PLUGINS", "")
    assert program("water", 1).code == 2
    assert "tulips" not in program("--help").out


@pytest.mark.slow
@pytest.mark.parametrize("text", [b"[stylekit]\njustaword\n", b"[stylekit]\nweed = \xff\xfe\n"])
def test_damaged_metadata_does_not_break_commands(tmp_path: Path, install: Install, text: bytes) -> None:
    """In a separate process, as pydantic and torch also read all metadata when they are imported."""
    install("weeds", "weed", "")
    (tmp_path / "site" / "weeds-1.0.dist-info" / "entry_points.txt").write_bytes(text)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "COLUMNS": "200"}
    for arguments in (["--help"], ["plugins"], ["show", "cyclegan"]):
        line = [sys.executable, "-m", "stylekit", *arguments]
        process = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
        assert process.returncode == 0, process.stderr
        assert "Traceback" not in process.stderr
        assert_mentions(process.stderr, "metadata", "weeds-1.0.dist-info")


def test_names_with_markup_and_modules_in_archives_are_listed(
    program: Program, install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("STYLEKIT_PLUGINS", "tulips,zipped,a[/b]")
    install("tulips", "x[/red]", "")
    install("zipped", "zip", "")
    (tmp_path / "site" / "sample_zipped.py").unlink()
    with zipfile.ZipFile(tmp_path / "site" / "all.zip", "w") as archive:
        archive.writestr("sample_zipped.py", LOSS)
    monkeypatch.syspath_prepend(str(tmp_path / "site" / "all.zip"))
    lines = program("plugins", "--load").out.splitlines()
    assert any(line.startswith("x[/red]") for line in lines)
    assert_mentions(lines[-1], "STYLEKIT_PLUGINS", "a[/b]", "not installed")
    assert any(line.split()[:5] == ["zip", "zipped", "1.0", "loads:", "loss"] for line in lines)


def test_a_plugin_that_the_variable_excludes_causes_no_conflict(
    program: Program, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("tulips", "flower", "")
    install("roses", "flower", "")
    monkeypatch.setenv("STYLEKIT_PLUGINS", "roses")
    lines = [line.split() for line in program("plugins").out.splitlines()]
    assert ["flower", "roses", "1.0", "installed"] in lines
    assert any(line[:4] == ["flower", "tulips", "1.0", "hidden:"] for line in lines)


def test_an_error_in_a_plugins_command_is_one_line_with_its_location(program: Program, install: Install) -> None:
    install("tulips", "water", COMMAND + "\ndef dry(): return 1 / 0\n", group="stylekit.commands", target=":dry")
    result = program("water")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert_mentions(result.err, "Error: ZeroDivisionError: division by zero", "line 18", "sample_tulips.py", "--debug")


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--help"], ["plugins"]], ids=["--help", "plugins"])
def test_two_hundred_plugins_take_little_time(tmp_path: Path, install: Install, arguments: list[str]) -> None:
    """Compared with the same command without them, in CPU time, which does not depend on other processes."""
    for number in range(200):
        install(f"style-{number}", f"style{number}", "raise RuntimeError('imported')\n" + LOSS)
    for number in range(20):
        install(f"tool-{number}", f"tool{number}", COMMAND, group="stylekit.commands", target=":water")

    def seconds(**variables: str) -> float:
        before = os.times()
        command = [sys.executable, "-m", "stylekit", *arguments]
        environment = {**os.environ, "COLUMNS": "100", **variables}
        out = subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout
        after = os.times()
        assert (("tool19" if arguments == ["--help"] else "style199") in out) == bool(variables)
        return after.children_user + after.children_system - before.children_user - before.children_system

    with_plugins = min(seconds(PYTHONPATH=str(tmp_path / "site")) for _ in range(5))
    assert with_plugins < 2 * min(seconds() for _ in range(5))
