"""What the program prints cannot control the terminal, and is never refused by it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stylekit.cli.output import cell, echo, echo_traceback, print_json, print_table
from stylekit.errors import printable

if TYPE_CHECKING:
    from tests.cli.conftest import Paint, Program

HOSTILE = "a\x1b[2Jb\x07\x7f\x9b\u202e\u2066\u2028c\nd\re\tf\udcff"
ESCAPED = r"a\x1b[2Jb\x07\x7f\x9b\u202e\u2066\u2028c\nd\re\tf\udcff"


def test_control_characters_are_escaped_and_other_characters_stay() -> None:
    assert printable(HOSTILE) == ESCAPED
    ordinary = "Grüße, 日本語, 👩‍🎨, عربي, [red]"
    assert printable(ordinary) == ordinary


def test_each_argument_of_echo_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    echo("first", HOSTILE)
    assert capsys.readouterr().out == f"first\n{ESCAPED}\n"


def test_tables_show_control_characters_escaped_and_markup_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["\x1b[1m"], [["[red]\x1b[2J[/red]"], [cell("two\nlines", "red")]])
    out = capsys.readouterr().out
    assert [line.strip() for line in out.splitlines()] == [r"\x1b[1m", r"[red]\x1b[2J[/red]", "two", "lines"]


def test_json_is_one_ascii_line_in_the_order_of_its_keys(capsys: pytest.CaptureFixture[str]) -> None:
    value: dict[str, Any] = {"b": [1, 0.5, None], "a": Path("ü\udcff\n")}
    print_json(value)
    out = capsys.readouterr().out
    assert out.isascii()
    assert out.count("\n") == 1
    assert out.startswith('{"b": ')
    assert json.loads(out) == {"b": [1, 0.5, None], "a": "ü\udcff\n"}
    with pytest.raises(ValueError, match="JSON"):
        print_json(float("nan"))


def test_an_error_is_one_line_whatever_the_name(program: Program, tmp_path: Path) -> None:
    error = program("data", "check", tmp_path / "a\x1b[2Jb\nError: c\rd").error
    assert r"a\x1b[2Jb\nError: c\rd" in error


def test_a_warning_is_one_line_whatever_the_name(program: Program, paint: Paint, tmp_path: Path) -> None:
    paint(tmp_path / "style" / "good.png")
    (tmp_path / "style" / "bad\x1b[2J\n.png").write_text("text")
    line = ["style", "learn", tmp_path / "style", "--model", "color-pca", "-o", tmp_path / "it.style"]
    result = program(*line)
    assert result.code == 0
    assert "\x1b" not in result.err
    assert r"bad\x1b[2J\n.png" in result.err


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_names_that_the_terminal_cannot_show_are_escaped(
    environment: dict[str, str], paint: Paint, tmp_path: Path, encoding: str
) -> None:
    folder = tmp_path / "日本\udcff"
    paint(folder / "photo.png")
    line = [sys.executable, "-m", "stylekit", "data", "check", str(folder)]
    done = subprocess.run(line, env={**environment, "PYTHONIOENCODING": encoding}, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    out = done.stdout.decode(encoding)
    assert ("日本" if encoding == "utf-8" else r"\u65e5\u672c") in out
    assert r"\udcff" in out


def test_a_traceback_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError("\x1b[31m\x07 and \x9b2J")
    except ValueError as error:
        echo_traceback(error)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == r"ValueError: \x1b[31m\x07 and \x9b2J"


def test_lines_of_one_call_are_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr("sys.stderr.write", written.append)
    echo("one", "two", stderr=True)
    assert written == ["one\ntwo\n"]
