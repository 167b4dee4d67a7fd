"""``stylekit data``: what is printed of a data set, the exit code, and the pictures that are drawn."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from stylekit import images, make
from stylekit.cli.data import _drawn, data
from stylekit.errors import StylekitError
from stylekit.training.loader import SeededItems

if TYPE_CHECKING:
    from tests.cli.conftest import Program


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


def test_the_pictures_of_a_data_set_are_drawn_as_a_run_would_see_them(program: Program, tmp_path: Path) -> None:
    line = ["data", "draw", "scenes", tmp_path / "out", "--count", 5, "--size", 32, "--seed", 3, "--key", "style"]
    told = program(*line, "--set", "length=3")
    assert (told.code, told.out) == (0, f"5 pictures are in {tmp_path}/out\n"), told
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"0000{number}.png" for number in range(5)]
    items = SeededItems(make("dataset", "scenes", size=32, seed=3, split="train", length=3), 3)
    for number in range(5):  # the fourth is the first again
        drawn = images.read(tmp_path / "out" / f"0000{number}.png").image[0]
        torch.testing.assert_close(drawn, items[number]["style"], rtol=0, atol=0.5 / 255 + 1e-6)
    assert program("data", "draw", "scenes", tmp_path / "new", "--count", 1, "--size", 32).code == 0
    first = make("dataset", "scenes", size=32, seed=0, split="train")[0]["content"]  # the first key, the usual seed
    assert torch.equal(images.read(tmp_path / "new" / "00000.png").image[0], first)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["scenes", "full"], "full is not empty. Give a new one"),
        (["scenes", "new", "--key", "styel"], "have no 'styel'. Did you mean 'style'"),
        (["scenes", "new", "--set", "lenth=3"], "has no option 'lenth'. Did you mean 'length'"),
        (["scenes", "new", "--size", "7"], "cannot be drawn with size 7"),
        (["scenery", "new"], "There is no dataset 'scenery'. Did you mean 'scenes'"),
        (["scenes", "full/a.png"], "cannot be written"),
    ],
)
def test_what_cannot_be_drawn(program: Program, tmp_path: Path, arguments: list[str], told: str,
                              monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.png").write_text("")
    assert told in program("data", "draw", *arguments, "--count", 1).error


def test_ctrl_c_ends_the_drawing_soon_and_tells_what_is_there(environment: dict[str, str], tmp_path: Path) -> None:
    line = [sys.executable, "-m", "stylekit.cli", "data", "draw", "scenes", "out", "--count", "100000", "--size", "64"]
    with subprocess.Popen(line, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        for _ in range(600):
            if len(list(tmp_path.glob("out/*.png"))) >= 3:
                break
            time.sleep(0.1)
        at_hand = len(list(tmp_path.glob("out/*.png")))
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=60)[1]
    there = len(list(tmp_path.glob("out/*.png")))
    assert process.returncode == 130, told
    assert told == f"Interrupted: {there} of 100000 pictures are in out. Empty it before drawing into it anew.\n"
    assert 3 <= there <= at_hand + 100  # and not a chunk for each place in a queue
    assert not list(tmp_path.glob("out/.*"))  # nothing half written


def test_few_pictures_are_asked_for_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, processes: int, initializer: object) -> None:
            super().__init__(processes)

        def submit(self, write: Callable[[int], None], number: int) -> Future[None]:  # type: ignore[override]
            asked.append(number)
            return super().submit(write, number)

    monkeypatch.setattr(sys.modules["stylekit.cli.data"], "ProcessPoolExecutor", Pool)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    written: list[int] = []
    for taken, _ in enumerate(_drawn(written.append, 20)):
        assert len(asked) <= taken + 5  # two for each process, and the one that is taken
    assert asked == sorted(written) == list(range(20))
