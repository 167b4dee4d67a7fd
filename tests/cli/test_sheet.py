"""``stylekit sheet``: a contact sheet of styles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from stylekit.training.sample_grid import CAPTION, GAP, contact_sheet
from tests.cli.pixels import pixels
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Paint, Program


def test_a_sheet_shows_the_image_and_each_style_with_its_name(program: Program, paint: Paint, place: Path) -> None:
    for name in ("one", "two"):
        paint(place / "styles" / f"{name}.png", seed=ord(name[0]))
    photo = paint(place / "big.png", 96, 128)
    line = ["sheet", photo, "--model", "color-pca", "--style", place / "styles", "--tile", "64", "-o", place / "s.png"]
    result = program(*line)
    assert (result.code, result.out) == (0, "")
    assert_mentions(result.err, "2 of 2 styles", place / "s.png")
    sheet = pixels(place / "s.png")
    cell = 48 + CAPTION + GAP  # two columns are nearer to 3:2 than three
    assert sheet.shape == (GAP + 2 * cell, GAP + 2 * (64 + GAP), 3)
    assert (sheet[GAP + 48 :, GAP : GAP + 64][:CAPTION] < 128).any()  # its name
    assert_mentions(program(*line).error, place / "s.png", "--overwrite")
    assert program(*line, "--overwrite", "--quiet").err == ""


def test_a_style_that_cannot_be_used_is_reported_and_the_others_are_shown(
    program: Program, paint: Paint, place: Path
) -> None:
    paint(place / "styles" / "one.png")
    (place / "styles" / "broken.png").write_text("text")
    line = ["sheet", place / "photo.png", "--model", "color-pca", "--tile", "32", "-o", place / "s.png"]
    result = program(*line, "--style", place / "styles")
    assert result.code == 1
    assert_mentions(result.err, "1 of 2 styles", place / "styles" / "broken.png")
    assert (place / "s.png").exists()
    error = program(*line, "--overwrite", "--style", place / "styles" / "broken.png").error
    assert_mentions(error, place / "styles" / "broken.png")
    assert_mentions(program(*line, "--overwrite").error, "--style")


def test_the_sheet_never_replaces_its_inputs(program: Program, place: Path) -> None:
    line = ["sheet", place / "photo.png", "--model", "color-pca", "--style", place / "red.png", "--overwrite", "-o"]
    for path in (place / "photo.png", place / "red.png"):
        assert_mentions(program(*line, path).error, path, "overwritten")


def test_the_columns_make_a_sheet_of_about_three_to_two() -> None:
    for count, size in ((1, (40, 60)), (7, (40, 60)), (30, (60, 40)), (100, (20, 80))):
        height, width = contact_sheet([("x", torch.rand(3, *size))] * count).shape[-2:]
        assert count == 1 or 0.9 < width / height < 2.6


def test_long_names_end_in_an_ellipsis_and_no_letter_is_cut_or_missing() -> None:
    def caption(name: str) -> torch.Tensor:
        return contact_sheet([(name, torch.ones(3, 8, 120))])[:, GAP + 8 : -GAP, GAP:-GAP]

    assert (caption("a name that is too long for its tile") < 0.9).any()
    for letters in ("gjpqy", "two\nlines\udcff", "\u00c9\u00e9\u00df", "\u0416\u03b1"):
        rows = (caption(letters)[0] < 0.9).any(1)
        assert rows.any()
        assert not rows[[0, -1]].any()
    assert not torch.equal(caption("\u00e9"), caption("\u0416"))  # each has a glyph, rather than a box
