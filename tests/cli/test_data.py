"""``stylekit data``: the report about a dataset, the exit code, and the images that are drawn."""

from __future__ import annotations

import errno
import os
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
from tests.facts import assert_mentions

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


def test_a_good_dataset(pair: Path) -> None:
    result = check(pair)
    assert result.exit_code == 0, result.output
    assert f"{pair}: trainA + trainB" in result.output
    rows = [[cell.strip() for cell in line.split("│")[2:-1]] for line in result.output.splitlines()]
    for value in ("3", "PNG 3", "70, 80, 90", "1.29 to 1.29"):
        assert [value, value] in rows
    assert_mentions(result.output.splitlines()[-1], f"stylekit train --plugin cyclegan --data '{pair}'")


def test_problems_are_listed_and_the_code_is_1(pair: Path) -> None:
    for number in range(12):
        (pair / f"trainB/bad{number:02}.jpg").write_text("text")
    (pair / "trainA/again.png").write_bytes((pair / "trainA/1.png").read_bytes())
    Image.new("RGB", (9, 90)).save(pair / "trainA/thin.png")
    result = check(pair)
    assert result.exit_code == 1, result.output
    lines = result.output.splitlines()
    bad = [line for line in lines if "/trainB/bad" in line]
    assert len(bad) == 10
    assert_mentions(bad[-1], pair / "trainB/bad09.jpg", "damaged")
    assert_mentions(lines[lines.index(bad[-1]) + 1], 2, "more")
    assert f"  {pair}/trainA/1.png = {pair}/trainA/again.png" in lines
    assert f"  {pair}/trainA/thin.png" in lines
    (problem,) = [line for line in lines if line.startswith("Problem: ")]
    assert_mentions(problem, pair / "trainB", 12, "unreadable", "delete")
    assert_mentions(lines[-1], "stylekit train")


def test_an_empty_folder_is_a_problem(tmp_path: Path) -> None:
    result = check(tmp_path)
    assert result.exit_code == 1
    (problem,) = [line for line in result.output.splitlines() if line.startswith("Problem: ")]
    assert_mentions(problem, tmp_path)


def test_a_missing_folder_raises_an_error(tmp_path: Path) -> None:
    result = check(tmp_path / "nowhere")
    assert isinstance(result.exception, StylekitError)
    assert_mentions(result.exception, tmp_path / "nowhere")


def test_the_images_of_a_dataset_are_drawn_as_in_a_run(program: Program, tmp_path: Path) -> None:
    line = ["data", "draw", "scenes", tmp_path / "out", "--count", 5, "--size", 32, "--seed", 3, "--key", "style"]
    result = program(*line, "--set", "length=3")
    assert result.code == 0, result
    assert_mentions(result.out, 5, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"0000{number}.png" for number in range(5)]
    items = SeededItems(make("dataset", "scenes", size=32, seed=3, split="train", length=3), 3)
    for number in range(5):  # the fourth is the first again
        drawn = images.read(tmp_path / "out" / f"0000{number}.png").image[0]
        torch.testing.assert_close(drawn, items[number]["style"], rtol=0, atol=0.5 / 255 + 1e-6)
    assert program("data", "draw", "scenes", tmp_path / "new", "--count", 1, "--size", 32).code == 0
    first = make("dataset", "scenes", size=32, seed=0, split="train")[0]["content"]  # first key, default seed
    assert torch.equal(images.read(tmp_path / "new" / "00000.png").image[0], first)


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["scenes", "full"], ["full", "not empty"]),
        (["scenes", "new", "--key", "styel"], ["'styel'", "did you mean 'style'"]),
        (["scenes", "new", "--set", "lenth=3"], ["'lenth'", "did you mean 'length'"]),
        (["scenes", "new", "--size", "7"], ["size", 7]),
        (["scenery", "new"], ["dataset 'scenery'", "did you mean 'scenes'"]),
        (["scenes", "full/a.png"], ["full/a.png", os.strerror(errno.EEXIST)]),
    ],
)
def test_errors_name_the_wrong_argument(
    program: Program, tmp_path: Path, arguments: list[str], facts: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.png").write_text("")
    assert_mentions(program("data", "draw", *arguments, "--count", 1).error, *facts)


@pytest.mark.slow
def test_ctrl_c_stops_drawing_soon_and_reports_the_number_of_images(
    environment: dict[str, str], tmp_path: Path
) -> None:
    line = [sys.executable, "-m", "stylekit", "data", "draw", "scenes", "out", "--count", "100000", "--size", "64"]
    with subprocess.Popen(line, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        for _ in range(600):
            if len(list(tmp_path.glob("out/*.png"))) >= 3:
                break
            time.sleep(0.1)
        before = len(list(tmp_path.glob("out/*.png")))
        process.send_signal(signal.SIGINT)
        message = process.communicate(timeout=60)[1]
    after = len(list(tmp_path.glob("out/*.png")))
    assert process.returncode == 130, message
    assert message.count("\n") == 1
    assert_mentions(message, "interrupted", after, 100000, "out", "empty")
    assert 3 <= after <= before + 100  # not a chunk for each place in the queue
    assert not list(tmp_path.glob("out/.*"))  # no partial files


def test_few_images_are_requested_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    requested: list[int] = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, processes: int, context: object, initializer: object) -> None:
            super().__init__(processes)

        def submit(self, write: Callable[[int], None], number: int) -> Future[None]:  # type: ignore[override]
            requested.append(number)
            return super().submit(write, number)

    monkeypatch.setattr(sys.modules["stylekit.cli.data"], "ProcessPoolExecutor", Pool)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    written: list[int] = []
    for taken, _ in enumerate(_drawn(written.append, 80)):
        assert len(requested) <= taken + 5  # two per process, and the current one
    assert requested == sorted(written) == list(range(80))


def test_a_few_images_are_drawn_without_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["stylekit.cli.data"], "ProcessPoolExecutor", None)
    written: list[int] = []
    assert len(list(_drawn(written.append, 10))) == 10
    assert written == list(range(10))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    scenes = make("dataset", "scenes", size=40)
    (tmp_path / "photos").mkdir()
    for number in range(3):
        images.write(tmp_path / f"photos/{number}.png", scenes[number]["content"])
    return tmp_path / "photos"


def test_a_preview_shows_the_pairs_of_a_run_with_that_seed(program: Program, photos: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    line = ("data", "preview", photos, "--degrade", "grey", "--degrade", "[gaussian-noise, {name: jpeg, quality: 20}]")
    assert program(*line, "--size", "32", "--seed", "5", "-o", sheet).code == 0
    shown = images.read(sheet).image[0]
    degradation = ["gaussian-noise", {"name": "jpeg", "quality": 20}]
    items = SeededItems(make("dataset", "degraded", degradation=degradation, content=photos, size=32), 5)
    pair = items[0]
    wanted = {"clean": pair["style"], "both": pair["content"]}
    for name, image in wanted.items():
        found = (shown.unfold(1, 32, 1).unfold(2, 32, 1) - image[:, None, None]).abs().amax((0, 3, 4))
        assert float(found.min()) < 1 / 255, name
    assert_mentions(program(*line, "-o", sheet).error, sheet, "--overwrite")


def test_a_wrong_degradation_is_named(program: Program, photos: Path, tmp_path: Path) -> None:
    error = program("data", "preview", photos, "--degrade", "jpg", "-o", tmp_path / "sheet.png").error
    assert_mentions(error, "degradation 'jpg'", "jpeg")
