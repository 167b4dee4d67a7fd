"""``stylekit plugins``, and commands that packages add."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

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


def test_state_of_each_plugin_is_told_without_importing_it(
    program: Program, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    install("tulips", "tulip", "raise RuntimeError")
    install("weeds", "weed", "def broken(:", "2.0")
    install("roses", "rose", "STYLEKIT_API = 0")
    install("thieves", "cyclegan", "")
    told = program("plugins")
    assert told.code == 0
    found = [line.split() for line in told.out.splitlines()]
    assert ["tulip", "tulips", "1.0", "installed"] in found
    assert ["cyclegan", "stylekit", "0.1.0", "installed"] in found
    assert [
        "cyclegan",
        "thieves",
        "1.0",
        "taken:",
        "its",
        "name",
        "is",
        "also",
        "that",
        "of",
        "stylekit",
        "0.1.0",
    ] in found
    (weed,) = [line for line in found if line[0] == "weed"]
    assert weed[1:6] == ["weeds", "2.0", "broken:", "line", "1"]
    (rose,) = [line for line in found if line[0] == "rose"]
    assert rose[3] == "outdated:"


def test_load_imports_each_and_tells_what_it_offers_and_the_time(
    program: Program, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    install("tulips", "tulip", "import time; time.sleep(0.3)" + LOSS)
    install("weeds", "weed", "1 / 0")
    install("thorns", "thorn", "raise SystemExit('and out')")
    install("thieves", "scenes", LOSS.replace("NAME", "other"))
    told = program("plugins", "--load")
    assert (told.code, told.err) == (0, "")
    lines = {tuple(line.split()[:2]): line.split()[3:] for line in told.out.splitlines()}
    assert lines["tulip", "tulips"][:3] == ["loads:", "loss", "NAME"]
    assert 0.3 <= float(lines["tulip", "tulips"][-1]) < 2
    assert " ".join(lines["weed", "weeds"]).startswith(
        "broken: plugin 'weed' (weeds 1.0) could not be imported: ZeroDivisionError: division by zero"
    )
    assert "SystemExit: and out" in " ".join(lines["thorn", "thorns"])
    assert " ".join(lines["scenes", "thieves"][:-1]).endswith("is also that of stylekit 0.1.0; loss other")
    assert lines["cyclegan", "stylekit"][:3] == ["loads:", "method", "cyclegan"]


def test_name_in_the_variable_that_is_not_installed_is_told(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STYLEKIT_PLUGINS", "cyclegan,tulips")
    assert "STYLEKIT_PLUGINS names tulips, which is not installed." in program("plugins").out


def test_preset_of_a_plugin_is_shown_with_its_package(program: Program, install: Install) -> None:
    hook = "@hookimpl\ndef stylekit_presets():\n    return {'cyclegan': {'mild': {'cycle': 5}}}"
    install("tulips", "tulip", f"from stylekit import hookimpl\n{hook}")
    assert "preset mild (tulips 1.0): cycle=5" in program("show", "cyclegan").out


def test_command_of_a_package_is_listed_unimported_and_called(program: Program, install: Install) -> None:
    install("tulips", "water", COMMAND, group="stylekit.commands", target=":water")
    install("weeds", "weed", "raise RuntimeError", group="stylekit.commands", target=":weed")
    told = program("--help").out
    assert "water" in told
    assert "Added by tulips 1.0." in told
    assert program("water", 3, "--name", "rose").out == "3 litres for the rose\n"
    assert "Water the flowers." in program("water", "--help").out
    assert "Missing argument" in program("water").err
    broken = program("weed").error
    assert broken == "The command 'weed' of weeds 1.0 could not be imported: RuntimeError:"


def test_command_may_have_commands_of_its_own(program: Program, install: Install) -> None:
    install("tulips", "garden", COMMAND, group="stylekit.commands", target=":garden")
    assert program("garden", "dig", "--deep").out == "deep=True\n"
    assert program("garden", "plant").error == "It is winter. Wait for spring."


def test_command_of_two_packages_names_both_and_a_built_in_one_goes_first(program: Program, install: Install) -> None:
    for package in ("tulips", "roses"):
        install(package, "water", COMMAND, group="stylekit.commands", target=":water")
    install("weeds", "doctor", COMMAND, group="stylekit.commands", target=":water")
    told = program("water", 1).error
    assert told.startswith(
        "The command 'water' is added by roses 1.0 and tulips 1.0. Uninstall one of them, or set STYL"
    )
    assert "free memory" in program("doctor").out


def test_command_that_the_variable_leaves_out_is_not_there(
    program: Program, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("tulips", "water", COMMAND, group="stylekit.commands", target=":water")
    monkeypatch.setenv("STYLEKIT_PLUGINS", "")
    assert program("water", 1).code == 2
    assert "Added by" not in program("--help").out


@pytest.mark.parametrize("text", [b"[stylekit]\njustaword\n", b"[stylekit]\nweed = \xff\xfe\n"])
def test_damaged_metadata_stops_no_command(tmp_path: Path, install: Install, text: bytes) -> None:
    """In a process of its own: pydantic and torch look at all metadata too, when they are imported."""
    install("weeds", "weed", "")
    (tmp_path / "site" / "weeds-1.0.dist-info" / "entry_points.txt").write_bytes(text)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "COLUMNS": "200"}
    for arguments in (["--help"], ["plugins"], ["show", "cyclegan"]):
        line = [sys.executable, "-m", "stylekit.cli", *arguments]
        told = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr
        assert "Traceback" not in told.stderr
        assert "the metadata in" in told.stderr


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
    told = program("plugins", "--load").out
    assert "x[/red]" in told
    assert "STYLEKIT_PLUGINS names a[/b], which is not installed." in told
    assert any(line.split()[:5] == ["zip", "zipped", "1.0", "loads:", "loss"] for line in told.splitlines())


def test_rival_that_the_variable_leaves_out_is_none(
    program: Program, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("tulips", "flower", "")
    install("roses", "flower", "")
    monkeypatch.setenv("STYLEKIT_PLUGINS", "roses")
    lines = [line.split() for line in program("plugins").out.splitlines()]
    assert ["flower", "roses", "1.0", "installed"] in lines
    assert any(line[:4] == ["flower", "tulips", "1.0", "hidden:"] for line in lines)


def test_error_of_a_plugins_command_is_one_line_with_its_place(program: Program, install: Install) -> None:
    install("tulips", "water", COMMAND + "\ndef dry(): return 1 / 0\n", group="stylekit.commands", target=":dry")
    told = program("water")
    assert (told.code, told.err.count("\n")) == (1, 1)
    assert told.err.startswith("Error: ZeroDivisionError: division by zero, in line 18 of ")
    assert told.err.endswith("sample_tulips.py. The same command with --debug shows all that led there.\n")


@pytest.mark.parametrize("arguments", [["--help"], ["plugins"]], ids=["--help", "plugins"])
def test_two_hundred_plugins_cost_little(tmp_path: Path, install: Install, arguments: list[str]) -> None:
    """In time of the processor, which does not depend on what else the machine does; the best of three."""
    for number in range(200):
        install(f"style-{number}", f"style{number}", "raise RuntimeError('imported')\n" + LOSS)
    for number in range(20):
        install(f"tool-{number}", f"tool{number}", COMMAND, group="stylekit.commands", target=":water")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "COLUMNS": "100"}

    def seconds() -> float:
        before = os.times()
        command = [sys.executable, "-m", "stylekit.cli", *arguments]
        out = subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout
        after = os.times()
        assert ("tool19" if arguments == ["--help"] else "style199") in out
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert min(seconds() for _ in range(3)) < (0.6 if arguments == ["--help"] else 1.2)
