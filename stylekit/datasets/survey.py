"""What ``stylekit data check`` reports about a folder. Needs no torch."""

from __future__ import annotations

import hashlib
import shlex
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from PIL import ExifTags, Image, ImageFile, ImageOps

from stylekit.datasets.files import SUFFIXES, existing_folder, find_images, open_image
from stylekit.datasets.layouts import SPLITS, Layout, find_layout, layout_names, subfolders
from stylekit.errors import StylekitError

SMALL = 64
"""A picture with a side below this is reported: there is little in it to learn from."""


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


def survey(path: Path | str) -> Report:
    """Reads every picture of a data set, or of a plain folder, in full, and reports what is there.

    Raises:
        StylekitError: there is no such folder
    """
    path = existing_folder(path)
    problems: list[str] = []
    try:
        layout = find_layout(path)
    except StylekitError as problem:
        layout = None
        names = [name for split in SPLITS for pair in layout_names(split) for name in pair]
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
    side = Side(name, folder, find_images(folder))
    for file in side.files:
        try:
            with open_image(file) as image:
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
    folders = [path / name for name in subfolders(path) if name not in SPLITS and find_images(path / name)]
    if len(folders) > 1:
        content, style = (shlex.quote(str(folder)) for folder in folders[:2])
        return f"{train} --content {content} --style {style}"
    return f"{train} --content {shlex.quote(str(path))} --style OTHER"
