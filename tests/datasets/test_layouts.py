"""Recognising the layout of a dataset folder, and the report about its images."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from stylekit.datasets import layouts, survey
from stylekit.errors import StylekitError
from tests.facts import assert_mentions, raises

REAL = Path(__file__).parents[2] / "../shared/data"


def picture(
    path: Path, size: tuple[int, int] = (80, 100), mode: str = "RGB", shade: int = 0, **options: object
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, shade).convert(mode).save(path, **options)
    return path


def folders(root: Path, *names: str) -> None:
    for name in names:
        (root / name).mkdir(parents=True)


@pytest.mark.parametrize(
    ("made", "train", "test"),
    [
        ("trainA trainB testA testB", "trainA trainB", "testA testB"),
        ("A B", "A B", "A B"),
        ("A/train A/test B/train B/test", "A/train B/train", "A/test B/test"),
        ("train/A train/B test/A test/B", "train/A train/B", "test/A test/B"),
        ("content style", "content style", "content style"),
        ("content/train content/test style", "content/train style", "content/test style"),
        (
            "train/content train/style test/content test/style",
            "train/content train/style",
            "test/content test/style",
        ),
    ],
)
def test_known_layouts(tmp_path: Path, made: str, train: str, test: str) -> None:
    folders(tmp_path, *made.split())
    for split, expected in {"train": train, "test": test}.items():
        layout = layouts.find_layout(tmp_path, split)
        assert (layout.content, layout.style) == tuple(tmp_path / name for name in expected.split())
        assert layout.name == expected.replace(" ", " + ")


def test_unknown_layout_error_lists_the_folders_and_what_to_do(tmp_path: Path) -> None:
    folders(tmp_path, "photo", "monet", ".git")
    facts = ("monet, photo", "trainA", "trainB", "content and style", "--content", "--style")
    with raises(StylekitError, tmp_path, *facts) as caught:
        layouts.find_layout(tmp_path)
    assert ".git" not in str(caught.value)


def test_half_a_layout_or_a_missing_split_is_an_error(tmp_path: Path) -> None:
    folders(tmp_path, "one/trainA", "two/trainA", "two/trainB", "three/A/train", "three/B/train")
    with raises(StylekitError, tmp_path / "one", "trainA"):
        layouts.find_layout(tmp_path / "one")
    with raises(StylekitError, tmp_path / "two", "testA", "testB"):
        layouts.find_layout(tmp_path / "two", "test")
    with raises(StylekitError, tmp_path / "three" / "A", "train", "test"):
        layouts.find_layout(tmp_path / "three", "test")
    with raises(StylekitError, tmp_path / "four"):
        layouts.find_layout(tmp_path / "four")


def test_report_counts_every_kind(tmp_path: Path) -> None:
    side = tmp_path / "A"
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    picture(side / "turned.jpg", (200, 100), exif=exif)
    picture(side / "grey.png", (100, 100), "L")
    picture(side / "deep.png", (64, 64), "I;16")
    picture(side / "ink.tiff", (70, 90), "CMYK")
    picture(side / "nested/palette.png", (70, 90), "P")
    Image.new("RGBA", (70, 90), (9, 9, 9, 9)).save(side / "clear.webp")
    picture(side / "small.bmp", (63, 90))
    whole = picture(tmp_path / "whole.jpg", (300, 300), shade=99).read_bytes()
    (side / "cut.jpg").write_bytes(whole[:-200])
    (side / "text.png").write_text("text")
    picture(tmp_path / "B/one.png")

    report = survey.survey(tmp_path)
    assert report.layout == "A + B"
    content, style = report.sides
    assert (content.name, content.folder, len(content.files)) == ("content", side, 9)
    assert content.formats == {"PNG": 3, "JPEG": 1, "TIFF": 1, "WEBP": 1, "BMP": 1}
    assert content.kinds == {
        "RGB": 2, "grey": 1, "16-bit grey": 1, "CMYK": 1, "palette": 1, "RGB with alpha": 1
    }  # fmt: skip
    assert content.turned == 1
    assert (100, 200) in content.sizes
    assert content.lengths == (63, 90, 200)
    assert content.aspects == (0.5, 1.0)
    assert content.small == [side / "small.bmp"]
    assert set(content.unreadable) == {side / "cut.jpg", side / "text.png"}
    assert "truncated" in content.unreadable[side / "cut.jpg"]
    assert (style.sizes, style.unreadable) == ([(80, 100)], {})
    (problem,) = report.problems
    assert_mentions(problem, side, 2, "unreadable")
    assert report.advice == f"stylekit train --plugin cyclegan --data {tmp_path}"


def test_duplicate_files_are_found_within_and_between_the_sides(tmp_path: Path) -> None:
    first = picture(tmp_path / "trainA/1.png", shade=1)
    for name in ("trainA/2.png", "trainB/3.png", "testB/4.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(first.read_bytes())
    picture(tmp_path / "trainB/other.png", shade=2)
    picture(tmp_path / "testA/other.png", shade=3)
    report = survey.survey(tmp_path)
    assert [side.name for side in report.sides] == ["content", "style", "test content", "test style"]
    assert report.duplicates == [
        [tmp_path / name for name in ("trainA/1.png", "trainA/2.png", "trainB/3.png", "testB/4.png")]
    ]
    assert report.problems == []


def test_a_plain_folder_is_one_side(tmp_path: Path) -> None:
    picture(tmp_path / "my pictures/train/1.png")
    report = survey.survey(tmp_path / "my pictures")
    assert report.layout is None
    assert [side.name for side in report.sides] == ["pictures"]
    assert report.problems == []
    assert report.advice.endswith(f"--content '{tmp_path}/my pictures' --style OTHER")


def test_two_folders_without_a_known_name_are_suggested(tmp_path: Path) -> None:
    picture(tmp_path / "photo/1.png")
    picture(tmp_path / "monet/1.png", shade=1)
    report = survey.survey(tmp_path)
    assert report.advice.endswith(f"--content {tmp_path}/monet --style {tmp_path}/photo")
    assert report.problems == []


def test_half_a_layout_and_empty_folders_are_problems(tmp_path: Path) -> None:
    picture(tmp_path / "half/trainA/1.png")
    report = survey.survey(tmp_path / "half")
    assert report.layout is None
    assert_mentions(report.problems[0], "trainA", "trainB")
    folders(tmp_path, "none/A", "none/B")
    report = survey.survey(tmp_path / "none")
    assert len(report.problems) == 2
    for problem, side in zip(report.problems, "AB", strict=True):
        assert_mentions(problem, tmp_path / "none" / side)


def test_torch_is_not_imported() -> None:
    code = "import sys, stylekit.datasets.layouts; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(not REAL.is_dir(), reason="the folder of real images is not available")
def test_real_images() -> None:
    report = survey.survey(REAL)
    assert report.layout == "content + style"
    assert [len(side.files) for side in report.sides] == [40, 18]
    assert report.problems == []
    assert report.duplicates == []
