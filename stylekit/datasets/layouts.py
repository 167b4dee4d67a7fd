"""Layouts of data sets: where the two sides of a folder lie. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stylekit.datasets.files import existing_folder
from stylekit.errors import StylekitError

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Layout:
    """Where the two sides of a data set lie, and under which names, such as ``trainA + trainB``."""

    content: Path
    style: Path
    name: str


def find_layout(path: Path | str, split: str = "train") -> Layout:
    """The two folders of a data set for one split.

    Known are ``trainA + trainB``, ``train/A + train/B`` and ``A + B``, and with ``content`` and ``style`` for
    names ``train/content + train/style`` and ``content + style``. The pairs without ``train`` may be divided
    themselves, as in ``A/train``; where they are not, they serve both splits.

    Raises:
        StylekitError: there is no such folder, or it has none of these layouts for the split
    """
    path = existing_folder(path)
    for content, style in _layout_names(split):
        if (path / content).is_dir() and (path / style).is_dir():
            pair = split_of(path / content, split), split_of(path / style, split)
            return Layout(*pair, " + ".join(folder.relative_to(path).as_posix() for folder in pair))
    held = ", ".join(subfolders(path)) or "none"
    raise StylekitError(
        f"{path} has no layout that stylekit knows for the split {split!r}; its folders: {held}. "
        f"Name two of them {split}A and {split}B, or A and B, or content and style (these may lie in {split} "
        f"or hold {split}), or give any two folders: --content DIR --style DIR."
    )


def split_of(folder: Path | str, split: str = "train") -> Path:
    """A folder's sub-folder ``train`` or ``test`` where it is divided in that way, or else the folder itself.

    A folder is divided if it holds nothing but folders of splits (train, test, val, valid): where anything else lies beside
    them, ``train`` may be the name of a class, and the whole folder counts.

    Raises:
        StylekitError: there is no such folder, or it is divided and has none for this split
    """
    folder = existing_folder(folder)
    inside = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    divided = inside <= {*SPLITS, "val", "valid"} and all((folder / name).is_dir() for name in inside)
    if not divided or inside.isdisjoint(SPLITS):
        return folder
    if split not in inside:
        raise StylekitError(
            f"{folder} is divided into {', '.join(sorted(inside))} and has no {split}: add one, with images."
        )
    return folder / split


def begins_layout(path: Path) -> bool:
    """Whether a folder has any of the folders that layouts are made of, for any split."""
    return any((path / name).is_dir() for split in SPLITS for pair in _layout_names(split) for name in pair)


def _layout_names(split: str) -> list[tuple[str, str]]:
    return [
        (f"{split}A", f"{split}B"),
        (f"{split}/A", f"{split}/B"),
        ("A", "B"),
        (f"{split}/content", f"{split}/style"),
        ("content", "style"),
    ]


def subfolders(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir() if each.is_dir() and not each.name.startswith("."))
