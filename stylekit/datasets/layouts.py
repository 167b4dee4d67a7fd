"""Folder layouts of data sets with a content side and a style side. Does not import torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stylekit.datasets.files import existing_folder, is_image, visible
from stylekit.datasets.shards import is_shards
from stylekit.errors import StylekitError

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Layout:
    """The folders of the two sides of a data set, and the name of the layout, such as ``trainA + trainB``."""

    content: Path
    style: Path
    name: str


def find_layout(path: Path | str, split: str = "train") -> Layout:
    """Finds the two folders of a data set for one split.

    The known layouts are ``trainA + trainB``, ``train/A + train/B``, ``A + B``, ``train/content + train/style`` and
    ``content + style``. In the layouts without ``train``, each side may be divided into splits, as in ``A/train``;
    otherwise it is used for both splits.

    Raises:
        StylekitError: the folder does not exist, or has none of these layouts for the split
    """
    path = existing_folder(path)
    for content, style in _layout_names(split):
        if (path / content).is_dir() and (path / style).is_dir():
            pair = split_of(path / content, split), split_of(path / style, split)
            return Layout(*pair, " + ".join(folder.relative_to(path).as_posix() for folder in pair))
    existing = ", ".join(subfolders(path)) or "none"
    raise StylekitError(
        f"{path} has no known layout for the split {split!r}; its subfolders: {existing}. Name two of them {split}A and "
        f"{split}B, or A and B, or content and style (these may be inside {split} or contain {split}), or pass any two "
        "folders: --content DIR --style DIR."
    )


def find_sides(
    name: str, content: str | Path | None, style: str | Path | None, data: str | Path | None, split: str
) -> tuple[Path | str, ...]:
    """The folders or shards of content and style, or of the content alone.

    Args:
        name: name of the data set, for messages
        content: folder or shards of content images
        style: folder or shards of style images
        data: instead of these two, a folder that contains both
        split: train or test

    Raises:
        StylekitError: a folder is missing, or the arguments contradict each other
    """
    if data is not None and content is None and style is None:
        layout = find_layout(data, split)
        return layout.content, layout.style
    if data is None and content is not None:
        sides = [side for side in (content, style) if side is not None]
        return tuple(side if is_shards(side) else split_of(side, split) for side in sides)
    raise StylekitError(
        f"The data set {name!r} needs two folders (--content DIR --style DIR), or one that contains both (--data DIR). For "
        "a method that needs no style images, --content DIR is enough."
    )


def split_of(folder: Path | str, split: str = "train") -> Path:
    """The subfolder ``train`` or ``test`` of a folder that is divided into splits, otherwise the folder itself.

    A folder is divided if the only folders in it are those of splits (train, test, val, valid), and no image lies beside
    them. With another folder, ``train`` may be the name of a class, so the whole folder is used. Other files and hidden
    ones do not matter.

    Raises:
        StylekitError: the folder does not exist, or is divided and lacks this split
    """
    folder = existing_folder(folder)
    present = [name for name in sorted((*SPLITS, "val", "valid")) if (folder / name).is_dir()]
    others = (path for path in visible(folder) if path.name not in present)
    if not set(SPLITS).intersection(present) or any(is_image(path.name) or path.is_dir() for path in others):
        return folder
    if split not in present:
        raise StylekitError(
            f"{folder} is divided into {', '.join(present)}, but has no {split}. Add that folder, with images."
        )
    return folder / split


def begins_layout(path: Path) -> bool:
    """Whether a folder contains at least one folder of a known layout, for any split."""
    return any((path / name).is_dir() for split in SPLITS for pair in _layout_names(split) for name in pair)


def _layout_names(split: str) -> list[tuple[str, str]]:
    return [
        (f"{split}A", f"{split}B"),
        (f"{split}/A", f"{split}/B"),
        ("A", "B"),
        (f"{split}/content", f"{split}/style"),
        ("content", "style"),
    ]


def subfolders(folder: Path) -> list[str]:
    """The names of the folders directly in a folder, without the hidden ones, in alphabetical order."""
    return [each.name for each in visible(folder) if each.is_dir()]
