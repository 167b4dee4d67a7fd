"""``stylekit explain``: the files that it writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Paint, Program


@pytest.mark.slow
def test_a_run_shows_its_discriminators_too(program: Program, trained: Path, paint: Paint, tmp_path: Path) -> None:
    photo = paint(tmp_path / "photo <b>.png", 48, 64)
    result = program("explain", trained, photo, "-o", tmp_path / "out", "--region", "8,8,16,16")
    assert result.code == 0, result.err
    names = {path.stem.split("-")[0] for path in (tmp_path / "out").glob("*.png")}
    assert names == {"content", "output", "sensitivity", "scores", "features"}
    page = (tmp_path / "out" / "explain.html").read_text()
    assert "<b>" not in page
    assert all(path.name in page for path in (tmp_path / "out").glob("*.png"))
    assert json.loads((trained / "run.json").read_text())["settings"]["plugin"] == ["cyclegan"]


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        ("--region 1,2,3", ("--region", "1,2,3")),
        ("--region 40,0,20,10", ("--region", "48x40")),
        ("--layer decoder.99", ("decoder.99",)),
        ("--style nowhere.png", ("nowhere.png",)),
    ],
)
def test_bad_arguments_are_one_clear_error(
    program: Program, adain: Path, paint: Paint, tmp_path: Path, arguments: str, facts: tuple[str, ...]
) -> None:
    photo = paint(tmp_path / "photo.png")
    style = [] if "--style" in arguments else ["--style", paint(tmp_path / "style.png", seed=1)]
    assert_mentions(
        program("explain", adain, photo, *style, *arguments.split(), "-o", tmp_path / "out", "-q").error, *facts
    )
