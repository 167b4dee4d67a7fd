"""``stylekit cube``: the table does to colours what color-pca does to the image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from stylekit import images
from stylekit.images.color import color_stats, match_color
from stylekit_plugins.datasets.scenes import render
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Program


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    images.write("photo.png", render(1, size=48))
    images.write("painting.png", render(2, size=40))
    return tmp_path


def parsed(text: str) -> tuple[dict[str, str], Tensor]:
    """The keywords of a .cube file, and the table by red, green and blue, as the specification defines their order."""
    lines = text.splitlines()
    words = dict(line.split(" ", 1) for line in lines if line[0].isalpha())
    size = int(words["LUT_3D_SIZE"])
    rows = torch.tensor([[float(number) for number in line.split()] for line in lines if not line[0].isalpha()])
    assert rows.shape == (size**3, 3)
    table = torch.empty(size, size, size, 3)
    for number, row in enumerate(rows):
        table[number % size, number // size % size, number // size**2] = row
    return words, table


def looked_up(image: Tensor, table: Tensor) -> Tensor:
    """Each colour of an image ``(1, 3, H, W)`` in a table by red, green and blue, between its eight neighbours."""
    position = image[0].flatten(1).T * (len(table) - 1)
    low = position.floor().long().clamp(max=len(table) - 2)
    part, found = position - low, torch.zeros(len(position), 3)
    for corner in torch.cartesian_prod(*[torch.tensor([0, 1])] * 3):
        weight = torch.where(corner.bool(), part, 1 - part).prod(1, keepdim=True)
        red, green, blue = (low + corner).T
        found += weight * table[red, green, blue]
    return found.T.view_as(image)


@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_the_table_gives_the_image_the_colours_of_color_pca(program: Program, place: Path, strength: float) -> None:
    line = ["cube", "photo.png", "--style", "painting.png", "-o", "a.cube", "--strength", strength, "--size", "17"]
    assert program(*line).code == 0
    words, table = parsed((place / "a.cube").read_text())
    assert words["TITLE"] == '"photo with the colours of painting"'
    assert (words["DOMAIN_MIN"], words["DOMAIN_MAX"]) == ("0 0 0", "1 1 1")
    photo, painting = (images.read(place / name).image for name in ("photo.png", "painting.png"))
    wanted = match_color(photo, *color_stats(painting), strength)
    difference = (looked_up(photo, table) - wanted).abs()
    assert difference.max() < 0.03  # between the table's colours, clamping is interpolated
    assert difference.mean() < 1e-3


def test_its_size_is_33_and_no_file_is_lost(program: Program, place: Path) -> None:
    line = ["cube", "photo.png", "--style", "painting.png", "-o", "a.cube"]
    assert program(*line).code == 0
    first = (place / "a.cube").read_text()
    assert first.count("\n") == 4 + 33**3
    assert_mentions(program(*line).error, "a.cube", "--overwrite")
    assert program(*line, "--overwrite").code == 0
    assert (place / "a.cube").read_text() == first


@pytest.mark.parametrize(
    ("line", "facts"),
    [
        (["photo.png", "--style", "painting.png", "-o", "a.png"], ["a.png", ".cube"]),
        (["gone.png", "--style", "painting.png", "-o", "a.cube"], ["gone.png"]),
        (["photo.png", "--style", "painting.png", "-o", "a.cube", "--strength", "2"], ["strength", "2"]),
    ],
)
def test_errors_are_one_sentence(program: Program, place: Path, line: list[str], facts: list[str]) -> None:
    result = program("cube", *line)
    assert result.code == 2
    assert_mentions(result.error, *facts)
    assert not (place / "a.cube").exists()
