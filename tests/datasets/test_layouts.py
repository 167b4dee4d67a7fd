"""Recognising the layout of a dataset folder, and whether a folder is divided into splits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stylekit.datasets import find_images, layouts
from stylekit.errors import StylekitError
from tests.facts import raises


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


@pytest.mark.parametrize(
    ("inside", "divided"),
    [
        ("train test", True),
        ("train test val", True),
        ("train valid test .cache", True),
        ("train test .DS_Store", True),
        ("train test cat", False),  # three classes
        ("train test photo.png", False),
        ("train test readme.txt pairs.csv Thumbs.db notes", True),
        ("train test .hidden.png", True),
        ("train test UPPER.JPG", False),
        ("val valid", False),
        ("cat dog", False),
        ("", False),
    ],
)
def test_a_folder_is_divided_if_it_has_no_other_folders_than_splits_and_no_images(
    tmp_path: Path, inside: str, divided: bool
) -> None:
    for name in inside.split():
        if "." in name.lstrip(".") or name in (".DS_Store", "notes"):
            (tmp_path / name).touch()
        else:
            (tmp_path / name).mkdir()
    for split in layouts.SPLITS:
        assert layouts.split_of(tmp_path, split) == (tmp_path / split if divided else tmp_path)


def test_a_divided_folder_without_the_split_is_an_error(tmp_path: Path) -> None:
    folders(tmp_path, "one/train", "two/test", "two/val")
    assert layouts.split_of(tmp_path / "one") == tmp_path / "one/train"
    with raises(StylekitError, tmp_path / "one", "train", "test"):
        layouts.split_of(tmp_path / "one", "test")
    with raises(StylekitError, tmp_path / "two", "test, val", "train"):
        layouts.split_of(str(tmp_path / "two"))
    with raises(StylekitError, tmp_path / "three"):
        layouts.split_of(tmp_path / "three")
    (tmp_path / "file.png").touch()
    with raises(StylekitError, tmp_path / "file.png", "folder"):
        layouts.split_of(tmp_path / "file.png")


@pytest.mark.parametrize("path", ["a" * 5000, "b\0c"])
def test_a_path_that_the_system_refuses_is_one_error(path: str) -> None:
    for find in (layouts.split_of, layouts.find_layout, find_images):
        with raises(StylekitError, "cannot be used") as caught:
            find(path)
        assert len(str(caught.value)) < 400


def test_a_side_with_a_class_called_train_serves_both_splits(tmp_path: Path) -> None:
    folders(tmp_path, "content/train", "content/car", "style/train", "style/test")
    for split in layouts.SPLITS:
        layout = layouts.find_layout(tmp_path, split)
        assert (layout.content, layout.style) == (tmp_path / "content", tmp_path / "style" / split)
        assert layout.name == f"content + style/{split}"


def test_torch_is_not_imported() -> None:
    code = "import sys, stylekit.datasets.survey; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
