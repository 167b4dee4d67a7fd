"""``stylekit stylize``: an optimisation is watched, and pictures along its way are kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stylekit.inference.model import load
from tests.cli.pixels import pixels

if TYPE_CHECKING:
    from tests.cli.conftest import Paint, Program

QUICK = ("--set", "encoder.scales=2", "--set", "encoder.width=4", "--set", "levels=1", "--steps", 2)


def test_an_optimisation_is_watched_and_its_way_kept(program: Program, place: Path) -> None:
    line = ["stylize", place / "photo.png", "--model", "gatys", "--style", place / "red.png", "--init", "noise"]
    small = ["--set", "encoder.scales=3", "--set", "encoder.width=8", "--steps", "20", "--set", "levels=1"]
    told = program(*line, *small, "--preview", place / "way", "-o", place / "out.png")
    assert (told.code, told.out) == (0, ""), told
    kept = sorted(path.name for path in (place / "way").iterdir())
    assert kept == [f"out-{step:05}.png" for step in (1, *range(2, 21, 2))]
    assert (pixels(place / "way" / kept[-1]) == pixels(place / "out.png")).all()
    assert (pixels(place / "way" / kept[0]) != pixels(place / "out.png")).any()


def test_every_picture_and_every_region_has_a_way_of_its_own(program: Program, paint: Paint, place: Path) -> None:
    for name in ("a.png", "deep/a.png", "deep/a.jpg"):
        paint(place / "in" / name)
    line = [
        "--model",
        "gatys",
        "--style",
        place / "red.png",
        "--style",
        place / "blue.png",
        "--mask",
        place / "mask.png",
    ]
    told = program("stylize", place / "in", *line, *QUICK, "--preview", place / "way", "-o", place / "out")
    assert told.code == 0, told
    kept = {path.relative_to(place / "way").as_posix() for path in (place / "way").rglob("*.png")}
    names = ("a", "deep/a", "deep/a-2")
    assert kept == {f"{name}-region-{region}-0000{step}.png" for name in names for region in (1, 2) for step in (1, 2)}


def test_a_way_is_not_kept_in_place_of_an_input_or_in_a_file(program: Program, paint: Paint, place: Path) -> None:
    paint(place / "in" / "photo.png")
    other = paint(place / "in" / "photo-00002.png", seed=1)
    line = ["--model", "gatys", "--style", place / "red.png", *QUICK, "-o", place / "out"]
    before = other.read_bytes()
    error = program("stylize", place / "in", *line, "--preview", place / "in").error
    assert error == f"{other} could be overwritten by pictures along the way. Give another --preview."
    error = program("stylize", place / "in", *line, "--preview", place / "out").error  # a finished picture
    assert error.startswith(f"{place}/out/photo-00002.png could be overwritten")
    assert other.read_bytes() == before
    error = program("stylize", place / "in", *line, "--preview", place / "photo.png").error
    assert error == f"{place}/photo.png cannot be written: File exists."
    assert not (place / "out").exists()


def test_a_method_is_watched_only_while_the_program_runs(
    program: Program, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"encoder": {"name": "random", "scales": 2, "width": 4}, "levels": 1, "steps": 2}
    model, seen = load("gatys", "cpu", **small), []
    monkeypatch.setattr("stylekit.inference.model.load", lambda *given, **more: model)
    monkeypatch.setattr("stylekit.cli.stylize._Watched.__call__", lambda *given: seen.append(given[1]))
    line = ["--model", "gatys", "--style", place / "red.png", "-o", place / "out.png"]
    assert program("stylize", place / "photo.png", *line).code == 0
    assert seen == [1, 2]
    assert model.method.on_step is None
