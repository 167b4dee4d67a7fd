"""Folders of pictures: finding the files, opening them, telling what data set a folder is. Needs no torch."""

from __future__ import annotations

import hashlib
import os
import shlex
import statistics
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from stylekit.errors import StylekitError

__all__ = ["SPLITS", "SUFFIXES", "Layout", "Side", "find", "find_layout", "opened", "split_of"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
"""The file names that count as pictures, in any case."""

SPLITS = ("train", "test")

SMALL = 64
"""A picture with a side below this is reported: there is little in it to learn from."""


def find(folder: Path | str) -> list[Path]:
    """All pictures below a folder, nested ones too, in an order that is the same on every machine.

    Hidden files and folders are passed over. Links to folders are followed, but every real folder is entered
    once, so a link to a folder above ends there. A link to a file that is gone is listed: reading it says so.

    Raises:
        StylekitError: there is no such folder, or it (or a folder in it) cannot be listed
    """
    folder = _existing(folder)
    seen: set[str] = set()
    found: list[Path] = []
    for root, folders, names in os.walk(folder, followlinks=True, onerror=_cannot_list):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(root, name) for name in names if _is_picture(name)]
    return sorted(found, key=lambda path: path.parts)


def _existing(folder: Path | str) -> Path:
    folder = Path(folder)
    if not folder.exists():
        raise StylekitError(f"There is no folder {folder}.")
    if not folder.is_dir():
        raise StylekitError(f"{folder} is a file, not a folder.")
    return folder


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def _cannot_list(problem: OSError) -> None:
    raise StylekitError(f"The folder {problem.filename} cannot be listed: {problem.strerror}.") from problem


@contextmanager
def opened(path: Path | str) -> Iterator[ImageFile.ImageFile]:
    """Pillow's picture, its header read and its pixels not yet; closed afterwards.

    What pillow reads after grumbling (a very large picture, damaged EXIF) is read in silence.

    Raises:
        StylekitError: whatever goes wrong inside the ``with`` block, in one sentence that names the file
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")
            with Image.open(path) as image:
                if image.mode == "LAB":
                    raise ValueError("its colours are LAB, which pillow cannot convert; save it as RGB")
                yield image
    except StylekitError:
        raise
    except Exception as problem:  # damaged files make decoders raise nearly anything
        raise StylekitError(f"{path} cannot be read: {_reason(Path(path), problem)}.") from problem


def _reason(path: Path, problem: Exception) -> str:
    if isinstance(problem, UnidentifiedImageError):
        return "it is damaged, or in no format that pillow knows" if path.stat().st_size else "it is empty"
    if isinstance(problem, FileNotFoundError):
        return "there is no such file"
    if isinstance(problem, IsADirectoryError):
        return "it is a folder"
    if isinstance(problem, Image.DecompressionBombError):
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        return f"it has more than {limit:,} pixels, pillow's limit for safety; make it smaller first"
    return (isinstance(problem, OSError) and problem.strerror) or str(problem) or type(problem).__name__


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
    path = _existing(path)
    for content, style in _names(split):
        if (path / content).is_dir() and (path / style).is_dir():
            pair = split_of(path / content, split), split_of(path / style, split)
            return Layout(*pair, " + ".join(folder.relative_to(path).as_posix() for folder in pair))
    held = ", ".join(_folders(path)) or "none"
    raise StylekitError(
        f"{path} has no layout that stylekit knows for the split {split!r}; its folders: {held}. "
        f"Name two of them {split}A and {split}B, or A and B, or content and style (these may lie in {split} "
        f"or hold {split}), or give any two folders: --content DIR --style DIR."
    )


def split_of(folder: Path | str, split: str = "train") -> Path:
    """A folder's sub-folder ``train`` or ``test`` where it is divided in that way, or else the folder itself.

    Raises:
        StylekitError: there is no such folder, or it is divided and has none for this split
    """
    folder = _existing(folder)
    if (folder / split).is_dir():
        return folder / split
    for other in SPLITS:
        if (folder / other).is_dir():
            raise StylekitError(f"{folder} has a folder {other} but no {split}: add one, with pictures.")
    return folder


def _names(split: str) -> list[tuple[str, str]]:
    return [
        (f"{split}A", f"{split}B"),
        (f"{split}/A", f"{split}/B"),
        ("A", "B"),
        (f"{split}/content", f"{split}/style"),
        ("content", "style"),
    ]


def _folders(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir() if each.is_dir() and not each.name.startswith("."))


@dataclass
class Side:
    """What one folder of a data set holds.

    Attributes:
        name: such as ``content``, or ``test style``
        folder: where it lies
        files: all its picture files
        formats: how many of each file format
        kinds: how many of each kind of pixels, such as ``grey`` or ``RGB with alpha``
        sizes: width and height of each readable picture, upright
        turned: how many carry an EXIF orientation to apply
        small: readable pictures with a side below 64
        unreadable: the sentence that says what is wrong, for each such file
    """

    name: str
    folder: Path
    files: list[Path]
    formats: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    turned: int = 0
    small: list[Path] = field(default_factory=list)
    unreadable: dict[Path, str] = field(default_factory=dict)

    @property
    def lengths(self) -> tuple[int, float, int]:
        """The least, median and greatest of all widths and heights."""
        lengths = [length for size in self.sizes for length in size]
        return min(lengths), statistics.median(lengths), max(lengths)

    @property
    def aspects(self) -> tuple[float, float]:
        """The least and the greatest width / height."""
        aspects = [width / height for width, height in self.sizes]
        return min(aspects), max(aspects)


@dataclass
class Report:
    """What ``stylekit data check`` says about a folder.

    Attributes:
        path: the folder
        layout: the layout's name, or None where it is one plain folder
        sides: the folders of the layout, or the one
        duplicates: groups of files with the same bytes, on one side or on several
        problems: what to mend, one sentence each; none means that it can be trained on
        advice: what to do next, with the command to type
    """

    path: Path
    layout: str | None
    sides: list[Side]
    duplicates: list[list[Path]]
    problems: list[str]
    advice: str


def check(path: Path | str) -> Report:
    """Reads every picture of a data set, or of a plain folder, in full, and reports what is there.

    Raises:
        StylekitError: there is no such folder
    """
    path = _existing(path)
    problems: list[str] = []
    try:
        layout = find_layout(path)
    except StylekitError as problem:
        layout = None
        names = [name for split in SPLITS for pair in _names(split) for name in pair]
        if any((path / name).is_dir() for name in names):  # half a layout; none at all is a plain folder
            problems.append(str(problem))
    sides = [_survey(name, folder) for name, folder in _sides(path, layout).items()]
    for side in sides:
        if not side.files:
            problems.append(f"{side.folder} has no pictures: put some there ({', '.join(SUFFIXES)}).")
        if side.unreadable:
            problems.append(f"{side.folder} has {len(side.unreadable)} unreadable: replace or delete them.")
    duplicates = _duplicates(file for side in sides for file in side.files if file not in side.unreadable)
    return Report(path, layout.name if layout else None, sides, duplicates, problems, _advice(path, layout))


def _sides(path: Path, layout: Layout | None) -> dict[str, Path]:
    if layout is None:
        return {"pictures": path}
    sides = {"content": layout.content, "style": layout.style}
    try:
        test = find_layout(path, "test")
    except StylekitError:  # a data set may have nothing to test on
        return sides
    return sides if test == layout else {**sides, "test content": test.content, "test style": test.style}


def _survey(name: str, folder: Path) -> Side:
    side = Side(name, folder, find(folder))
    for file in side.files:
        try:
            with opened(file) as image:
                kind, turned = _kind(image), _orientation(image) in range(2, 9)
                image.load()
                if turned:
                    ImageOps.exif_transpose(image, in_place=True)
                side.formats[image.format or "unknown"] += 1
                side.kinds[kind] += 1
                side.sizes.append(image.size)
                side.turned += turned
                if min(image.size) < SMALL:
                    side.small.append(file)
        except StylekitError as problem:
            side.unreadable[file] = str(problem)
    return side


def _kind(image: ImageFile.ImageFile) -> str:
    """The pixels of a picture not yet loaded, in words."""
    deep = ";16" in str(image.tile)  # pillow's mode does not tell 16-bit RGB, its raw mode does
    names = {"1": "grey", "L": "grey", "I": "grey", "F": "float grey", "P": "palette"}
    mode = image.mode.partition(";")[0].removesuffix("A")
    name = names.get(mode, mode)
    return f"{'16-bit ' * deep}{name}{' with alpha' * image.has_transparency_data}"


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF is no reason to refuse the pixels
        return 1


def _duplicates(files: Iterable[Path]) -> list[list[Path]]:
    by_size: defaultdict[int, list[Path]] = defaultdict(list)
    for file in files:
        by_size[file.stat().st_size].append(file)
    by_content: defaultdict[bytes, list[Path]] = defaultdict(list)
    for file in (file for same in by_size.values() if len(same) > 1 for file in same):
        by_content[hashlib.sha256(file.read_bytes()).digest()].append(file)
    return [same for same in by_content.values() if len(same) > 1]


def _advice(path: Path, layout: Layout | None) -> str:
    train = "stylekit train --plugin cyclegan"
    if layout:
        return f"{train} --data {shlex.quote(str(path))}"
    folders = [path / name for name in _folders(path) if name not in SPLITS and find(path / name)]
    if len(folders) > 1:
        content, style = (shlex.quote(str(folder)) for folder in folders[:2])
        return f"{train} --content {content} --style {style}"
    return f"{train} --content {shlex.quote(str(path))} --style OTHER"
