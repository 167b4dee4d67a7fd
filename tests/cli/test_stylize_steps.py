"""``stylekit stylize``: the progress of an optimisation, and its intermediate steps."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stylekit.inference.loading import load
from tests.cli.pixels import pixels
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Paint, Program

QUICK = (
    "--set",
    "encoder=random",
    "--set",
    "encoder.scales=2",
    "--set",
    "encoder.width=4",
    "--set",
    "levels=1",
    "--steps",
    2,
)


def test_intermediate_steps_of_an_optimisation_are_kept(program: Program, place: Path) -> None:
    line = ["stylize", place / "photo.png", "--model", "gatys", "--style", place / "red.png", "--init", "noise"]
    small = [
        "--set",
        "encoder=random",
        "--set",
        "encoder.scales=3",
        "--set",
        "encoder.width=8",
        "--steps",
        "20",
        "--set",
        "levels=1",
    ]
    result = program(*line, *small, "--preview", place / "steps", "-o", place / "out.png")
    assert (result.code, result.out) == (0, ""), result
    kept = sorted(path.name for path in (place / "steps").iterdir())
    assert kept == [f"out-{step:05}.png" for step in (1, *range(2, 21, 2))]
    assert (pixels(place / "steps" / kept[-1]) == pixels(place / "out.png")).all()
    assert (pixels(place / "steps" / kept[0]) != pixels(place / "out.png")).any()


def test_every_image_and_every_region_has_files_of_its_own(program: Program, paint: Paint, place: Path) -> None:
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
    result = program("stylize", place / "in", *line, *QUICK, "--preview", place / "steps", "-o", place / "out")
    assert result.code == 0, result
    kept = {path.relative_to(place / "steps").as_posix() for path in (place / "steps").rglob("*.png")}
    names = ("a", "deep/a", "deep/a-2")
    assert kept == {f"{name}-region-{region}-0000{step}.png" for name in names for region in (1, 2) for step in (1, 2)}


def test_intermediate_steps_overwrite_neither_inputs_nor_results(program: Program, paint: Paint, place: Path) -> None:
    paint(place / "in" / "photo.png")
    other = paint(place / "in" / "photo-00002.png", seed=1)
    line = ["--model", "gatys", "--style", place / "red.png", *QUICK, "-o", place / "out"]
    before = other.read_bytes()
    error = program("stylize", place / "in", *line, "--preview", place / "in").error
    assert_mentions(error, other, "overwritten", "--preview")
    error = program("stylize", place / "in", *line, "--preview", place / "out").error  # a finished image
    assert_mentions(error, place / "out" / "photo-00002.png", "overwritten", "--preview")
    assert other.read_bytes() == before
    error = program("stylize", place / "in", *line, "--preview", place / "photo.png").error
    assert_mentions(error, place / "photo.png", os.strerror(errno.EEXIST))
    assert not (place / "out").exists()


def test_the_callback_for_steps_is_removed_at_the_end(
    program: Program, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"encoder": {"name": "random", "scales": 2, "width": 4}, "levels": 1, "steps": 2}
    model, seen = load("gatys", "cpu", **small), []
    monkeypatch.setattr("stylekit.inference.loading.load", lambda *given, **more: model)
    monkeypatch.setattr("stylekit.cli.previews.Steps.__call__", lambda *given: seen.append(given[1]))
    line = ["--model", "gatys", "--style", place / "red.png", "-o", place / "out.png"]
    assert program("stylize", place / "photo.png", *line).code == 0
    assert seen == [1, 2]
    assert model.method.on_step is None
