"""What ``stylekit data check`` reports about the images of a dataset: every kind, pairs, classes and problems."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from stylekit.datasets import survey
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


def test_values_that_are_no_pictures_are_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "ct.tif"
    Image.fromarray(np.full((80, 80), -1000, np.int32)).save(path)
    report = survey.survey(tmp_path)
    assert_mentions(report.sides[0].unreadable[path], path, -1000, "no picture's", "'rasters'")
    assert_mentions(report.problems, 1, "unreadable")


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
    assert [side.name for side in report.sides] == ["images"]
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


# Pairs


def test_equal_names_on_both_sides_are_reported_as_pairs(tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / f"A/sub/{number}.png", shade=number)
        picture(tmp_path / f"B/sub/{number}.jpg", shade=99 + number)
    report = survey.survey(tmp_path)
    (note,) = report.notes
    assert_mentions(note, "pairs", 3)
    assert report.problems == []


def test_pairs_of_different_sizes_are_counted_with_an_example(tmp_path: Path) -> None:
    for number, width in enumerate([80, 81, 80, 82]):
        picture(tmp_path / f"trainA/{number}.png", shade=number)
        picture(tmp_path / f"trainB/{number}.png", (width, 100), shade=99 + number)
    report = survey.survey(tmp_path)
    pairs, sizes = report.notes
    assert_mentions(pairs, "pairs", 4)
    assert_mentions(sizes, 2, "different sizes", tmp_path / "trainA/1.png", tmp_path / "trainB/1.png")
    assert report.problems == []  # methods for unpaired images do not mind


def test_sides_with_other_names_are_not_pairs(tmp_path: Path) -> None:
    for number in range(2):
        picture(tmp_path / f"A/{number}.png", shade=number)
        picture(tmp_path / f"B/{number}.png", shade=99 + number)
    picture(tmp_path / "B/more.png", shade=50)
    assert survey.survey(tmp_path).notes == []


def test_images_side_by_side_are_reported(tmp_path: Path) -> None:
    for number, side in enumerate((70, 100)):
        picture(tmp_path / f"facades/{number}.png", (2 * side, side), shade=number)
    report = survey.survey(tmp_path / "facades")
    (note,) = report.notes
    assert_mentions(note, "pairs", "side-by-side")
    assert report.layout is None
    picture(tmp_path / "facades/2.png", (150, 70))
    assert survey.survey(tmp_path / "facades").notes == []


@pytest.mark.parametrize("name", ["pairs.csv", "pairs.CSV"])
def test_a_csv_file_of_pairs(tmp_path: Path, name: str) -> None:
    for number in range(3):
        picture(tmp_path / f"in/{number}.png", (80, 100 + number), shade=number)
        picture(tmp_path / f"out/{number}.png", (80, 100), mode="L", shade=99)
    lines = [f"in/{number}.png,out/{number}.png" for number in range(3)]
    (tmp_path / name).write_text("\n".join(["content,style", *lines]) + "\n")
    report = survey.survey(tmp_path / name)
    assert report.layout == "pairs"
    assert [(side.name, len(side.files)) for side in report.sides] == [("content", 3), ("style", 3)]
    assert [dict(side.kinds) for side in report.sides] == [{"RGB": 3}, {"grey": 3}]
    assert report.duplicates == [[tmp_path / f"out/{number}.png" for number in range(3)]]
    (problem,) = report.problems  # methods that read pairs refuse them
    assert_mentions(problem, 2, "different sizes", tmp_path / "in/1.png", tmp_path / "out/1.png")
    assert_mentions(report.advice, f"--data {tmp_path / name}", "pairs")


def test_unreadable_images_of_a_csv_file_are_a_problem(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("text")
    (tmp_path / "pairs.csv").write_text("content,style\na.png,b.png\n")
    report = survey.survey(tmp_path / "pairs.csv")
    assert set(report.sides[1].unreadable) == {tmp_path / "b.png"}
    (problem,) = report.problems
    assert_mentions(problem, tmp_path / "pairs.csv", 1, "unreadable")


def test_a_csv_file_without_a_header_or_with_missing_images_is_an_error(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "pairs.csv").write_text("a.png,b.png\n")
    with raises(StylekitError, tmp_path / "pairs.csv", "content,style"):
        survey.survey(tmp_path / "pairs.csv")
    (tmp_path / "pairs.csv").write_text("content,style\na.png,b.png\n")
    with raises(StylekitError, tmp_path / "pairs.csv", tmp_path / "b.png"):
        survey.survey(tmp_path / "pairs.csv")
    with raises(StylekitError, tmp_path / "gone.csv"):
        survey.survey(tmp_path / "gone.csv")


# Classes


def test_a_folder_for_each_class_is_reported_with_its_number_of_images(tmp_path: Path) -> None:
    for name, count in (("dog", 3), ("cat", 2), ("train", 1)):
        for number in range(count):
            picture(tmp_path / name / f"{number}.png", shade=10 * count + number)
    folders(tmp_path, "empty")
    report = survey.survey(tmp_path)
    (note,) = report.notes
    assert_mentions(note, "class", "cat (2), dog (3), train (1)")
    assert "empty" not in note
    assert report.layout is None
    assert report.problems == []


def test_a_single_folder_is_not_a_class(tmp_path: Path) -> None:
    picture(tmp_path / "cat/1.png")
    assert survey.survey(tmp_path).notes == []


def test_notes_are_printed_on_the_command_line(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        picture(tmp_path / name / "1.png", shade=len(name))
    command = [sys.executable, "-m", "stylekit", "data", "check", str(tmp_path)]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert_mentions(process.stdout, *survey.survey(tmp_path).notes)


@pytest.mark.skipif(not REAL.is_dir(), reason="the folder of real images is not available")
def test_real_images() -> None:
    report = survey.survey(REAL)
    assert report.layout == "content + style"
    assert [len(side.files) for side in report.sides] == [40, 18]
    assert report.problems == []
    assert report.duplicates == []


def test_data_check_of_classes_divided_into_splits(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            picture(tmp_path / split / name / "1.png")
    assert survey.survey(tmp_path).notes


def test_data_check_of_divided_classes_beside_other_files(tmp_path: Path) -> None:
    for number, name in enumerate(["train/cat", "train/dog", "test/dog"]):
        picture(tmp_path / name / "1.png", shade=number)
    (tmp_path / "README.txt").touch()
    (note,) = survey.survey(tmp_path).notes
    assert_mentions(note, "class", "cat (1), dog (1)")
    assert "refuse" not in note
    picture(tmp_path / "test/emu/1.png", shade=4)
    (note,) = survey.survey(tmp_path).notes
    assert_mentions(note, "refuse", tmp_path / "test", tmp_path / "train", "emu")


def test_data_check_of_a_folder_with_nothing_but_test(tmp_path: Path) -> None:
    picture(tmp_path / "test" / "1.png")
    assert survey.survey(tmp_path).sides


def test_the_splits_of_a_divided_folder_are_counted_like_in_training(tmp_path: Path) -> None:
    for name in ("train/0.png", "train/1.png", "test/0.png"):
        picture(tmp_path / name, (80, 70))
    assert {side.name: len(side.files) for side in survey.survey(tmp_path).sides} == {"images": 2, "test images": 1}
    picture(tmp_path / "boat/0.png", (80, 70))  # now train is the name of a class
    assert {side.name: len(side.files) for side in survey.survey(tmp_path).sides} == {"images": 4}
