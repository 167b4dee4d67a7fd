"""``stylekit stylize``: every frame of an animated image."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from stylekit import images
from stylekit.cli.stylizing import Request
from stylekit.cli.targets import Job
from tests.cli.test_clips import TRAIL
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Program


@pytest.fixture
def line(tmp_path: Path) -> list[object]:
    """A command line for an animated PNG, with a method that keeps a state along a clip."""
    (tmp_path / "trail.py").write_text(TRAIL)
    frames = [Image.new("RGB", (8, 6), (shade, shade, shade)) for shade in (100, 200, 0)]
    durations = [100, 250, 40]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], duration=durations, loop=2)
    return ["stylize", tmp_path / "a.png", "--plugin", tmp_path / "trail.py", "--model", "trail", "-o"]


def shades(path: Path) -> list[int]:
    return [round(float(frame.image.mean()) * 255) for frame in images.read_frames(path).frames]


def test_the_frames_of_an_animation_are_one_clip(program: Program, line: list[object], tmp_path: Path) -> None:
    result = program(*line, tmp_path / "out.png", "--json")
    assert result.code == 0
    assert_mentions(result.err, f"{tmp_path}/a.png: all 3 frames")
    assert json.loads(result.out)["written"][0]["frames"] == 3
    assert shades(tmp_path / "out.png") == [100, 150, 75]  # each is the mean with the one before
    before, after = (images.read_frames(tmp_path / name) for name in ("a.png", "out.png"))
    assert list(after.durations) == list(before.durations) == [100, 250, 40]
    assert after.loop == before.loop == 2


def test_another_format_for_animations_holds_the_frames_too(
    program: Program, line: list[object], tmp_path: Path
) -> None:
    assert program(*line, tmp_path / "out.webp", "--max-size", 4).code == 0
    assert np.abs(np.subtract(shades(tmp_path / "out.webp"), [100, 150, 75])).max() <= 2
    assert images.size(tmp_path / "out.webp") == (3, 4)


def test_a_format_for_one_image_gets_the_first_frame_and_a_warning(
    program: Program, line: list[object], tmp_path: Path
) -> None:
    result = program(*line, tmp_path / "out.jpg")
    assert result.code == 0
    assert_mentions(result.err, "Warning:", tmp_path / "a.png", "3 frames", "first", tmp_path / "out.jpg")
    assert images.frame_count(tmp_path / "out.jpg") == 1
    pages = [Image.new("L", (8, 6), shade) for shade in (0, 40)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    line[1] = tmp_path / "pages.tif"
    assert_mentions(program(*line, tmp_path / "page.png").err, "Warning:", tmp_path / "pages.tif", "2 frames")
    assert program(*line, tmp_path / "out.tif").code == 0
    assert images.frame_count(tmp_path / "out.tif") == 2


def test_an_animation_is_not_a_frame_of_a_clip(program: Program, line: list[object], tmp_path: Path) -> None:
    result = program(*line, tmp_path / "out.png", "--clip")
    assert result.code == 1
    assert_mentions(result.err, tmp_path / "a.png", "3 frames", "--clip")


def test_pages_keep_their_bits_or_get_those_of_the_option(program: Program, line: list[object], tmp_path: Path) -> None:
    page = images.Picture(images.read(tmp_path / "a.png").image, depth=16)
    images.write_frames(tmp_path / "a.tif", images.Animation([page, replace(page, depth=8)], [0, 0], 0, "TIFF"))
    line = [tmp_path / "a.tif" if each == tmp_path / "a.png" else each for each in line]
    for depth, expected in ((None, [16, 8]), (8, [8, 8]), (16, [16, 16])):
        target = tmp_path / f"{depth}.tif"
        assert program(*line, target, *([] if depth is None else ["--depth", depth])).code == 0
        assert [each.depth for each in images.read_frames(target).frames] == expected


def test_the_size_of_pages_is_that_of_the_largest(tmp_path: Path) -> None:
    small, large = Image.new("L", (16, 16)), Image.new("L", (40, 30))
    small.save(tmp_path / "a.tif", save_all=True, append_images=[large, small])
    for name, size in (("b.tif", (30, 40)), ("b.png", (16, 16))):
        job = Job(tmp_path / "a.tif", Path("a.tif"), 0, tmp_path / name)
        request = Request(None, [[]], (), {}, 0, None, None)
        assert request.size(job) == size
