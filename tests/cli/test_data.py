"""``stylekit data check``: what is printed, and the exit code."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from stylekit.cli.data import data
from stylekit.errors import StylekitError


def check(path: Path) -> Result:
    app = typer.Typer()
    app.add_typer(data, name="data")
    return CliRunner().invoke(app, ["data", "check", str(path)], env={"COLUMNS": "80"})


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    root = tmp_path / "two [red] sides"
    for name, shade in {"trainA": 10, "trainB": 200}.items():
        (root / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (90, 70), (shade, number, 0)).save(root / name / f"{number}.png")
    return root


def test_a_good_data_set(pair: Path) -> None:
    result = check(pair)
    assert result.exit_code == 0, result.output
    assert f"{pair}: trainA + trainB" in result.output
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.output.splitlines()]
    assert ["pictures", "3", "3"] in rows
    assert ["formats", "PNG 3", "PNG 3"] in rows
    assert ["sides: least, median, most", "70, 80, 90", "70, 80, 90"] in rows
    assert ["width / height", "1.29 to 1.29", "1.29 to 1.29"] in rows
    assert result.output.endswith(f"Next: stylekit train --plugin cyclegan --data '{pair}'\n")


def test_problems_are_listed_and_the_code_is_1(pair: Path) -> None:
    for number in range(12):
        (pair / f"trainB/bad{number:02}.jpg").write_text("text")
    (pair / "trainA/again.png").write_bytes((pair / "trainA/1.png").read_bytes())
    Image.new("RGB", (9, 90)).save(pair / "trainA/thin.png")
    result = check(pair)
    assert result.exit_code == 1, result.output
    lines = result.output.splitlines()
    assert f"  {pair}/trainB/bad09.jpg cannot be read: it is damaged, or in no format that pillow knows." in lines
    assert not any("bad10" in line for line in lines)
    assert "  and 2 more" in lines
    assert f"  {pair}/trainA/1.png = {pair}/trainA/again.png" in lines
    assert f"  {pair}/trainA/thin.png" in lines
    assert f"Problem: {pair}/trainB has 12 unreadable: replace or delete them." in lines
    assert lines[-1].startswith("After that: stylekit train")


def test_an_empty_folder(tmp_path: Path) -> None:
    result = check(tmp_path)
    assert result.exit_code == 1
    assert f"{tmp_path} has no pictures" in result.output


def test_a_missing_folder_is_left_to_the_main_program(tmp_path: Path) -> None:
    result = check(tmp_path / "nowhere")
    assert isinstance(result.exception, StylekitError)
    assert "There is no folder" in str(result.exception)
