"""What ``stylekit data check`` reports about a folder. Needs no torch."""

from __future__ import annotations

import contextlib
import hashlib
import shlex
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import ImageFile, ImageOps

from stylekit.datasets.files import SUFFIXES, existing_folder, find_images, open_image, orientation, upright_size
from stylekit.datasets.layouts import SPLITS, Layout, begins_layout, find_layout, split_of, subfolders
from stylekit.datasets.pairs import Pair, find_pairs
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
        notes: what else is worth knowing, one sentence each
        advice: what to do next, with the command to type
    """

    path: Path
    layout: str | None
    sides: list[Side]
    duplicates: list[list[Path]]
    problems: list[str]
    notes: list[str]
    advice: str


def survey(path: Path | str) -> Report:
    """Reads every image of a data set, or of a plain folder, in full, and reports what is there.

    Args:
        path: a folder, or the .csv file of a data set of pairs

    Raises:
        StylekitError: there is no such folder, or the .csv file cannot be read
    """
    if Path(path).suffix.lower() == ".csv":
        return _survey_csv(Path(path))
    path = existing_folder(path)
    problems: list[str] = []
    try:
        layout = find_layout(path)
    except StylekitError as problem:
        layout = None
        if begins_layout(path):  # half a layout; none at all is a plain folder
            problems.append(str(problem))
    sides = [_survey(name, folder, find_images(folder)) for name, folder in _sides(path, layout).items()]
    for side in sides:
        if not side.files:
            problems.append(f"{side.folder} has no images: put some there ({', '.join(SUFFIXES)}).")
    notes = _pairing(layout) if layout else _classes(path, sides[0])
    return _report(path, layout.name if layout else None, sides, problems, notes, _advice(path, layout))


def _survey_csv(path: Path) -> Report:
    pairs = _pairs_by_split(path)
    sides = [
        _survey(f"{'' if split == 'train' else 'test '}{name}", path, [file for file in files if file])
        for split, found in pairs.items()
        for name, files in zip(("content", "style"), zip(*found, strict=True), strict=True)
    ]
    advice = f"stylekit train --plugin METHOD --data {shlex.quote(str(path))}, for a method that reads pairs"
    return _report(path, "pairs", sides, [], _sizes_of([pair for found in pairs.values() for pair in found]), advice)


def _pairs_by_split(path: Path) -> dict[str, list[Pair]]:
    """The pairs of a .csv file; it may have one split alone, or one for both."""
    found: dict[str, list[Pair]] = {}
    for split in SPLITS:
        try:
            found[split] = find_pairs(data=path, split=split)
        except StylekitError as error:
            problem = error
    if not found:
        raise problem
    return {"train": found["train"]} if found.get("train") == found.get("test") else found


def _report(
    path: Path, layout: str | None, sides: list[Side], problems: list[str], notes: list[str], advice: str
) -> Report:
    unreadable = [side for side in sides if side.unreadable]
    problems += [f"{side.folder} has {len(side.unreadable)} unreadable: replace or delete them." for side in unreadable]
    duplicates = _duplicates(file for side in sides for file in side.files if file not in side.unreadable)
    return Report(path, layout, sides, duplicates, problems, notes, advice)


def _pairing(layout: Layout) -> list[str]:
    """Whether the two sides are pairs, by their names."""
    try:
        pairs = find_pairs(layout.content, layout.style)
    except StylekitError:
        return []
    return [f"The names on both sides are the same, so methods that read pairs find {len(pairs)}.", *_sizes_of(pairs)]


def _sizes_of(pairs: Sequence[Pair]) -> list[str]:
    differ = []
    for first, second in pairs:
        with contextlib.suppress(StylekitError), open_image(first) as one, open_image(second or first) as other:
            if upright_size(one) != upright_size(other):
                differ.append(f"{first} and {second}")
    return [f"{len(differ)} pairs have images of different sizes, such as {differ[0]}."] if differ else []


def _classes(path: Path, side: Side) -> list[str]:
    """What a folder without a layout may be: a folder for each class, or images side by side."""
    for split in SPLITS:
        with contextlib.suppress(StylekitError):  # it may be divided, and have one split alone
            path = split_of(path, split)
            break
    counts = {name: len(find_images(path / name)) for name in subfolders(path)}
    filled = [f"{name} ({count})" for name, count in counts.items() if count]
    if len(filled) > 1:
        return [f"Each folder may be a class, for methods that read labelled images: {', '.join(filled)}."]
    if side.sizes and all(width == 2 * height for width, height in side.sizes):
        return ["Every image is twice as wide as high, so methods that read pairs find two side by side."]
    return []


def _sides(path: Path, layout: Layout | None) -> dict[str, Path]:
    if layout is None:
        return {"pictures": path}
    sides = {"content": layout.content, "style": layout.style}
    try:
        test = find_layout(path, "test")
    except StylekitError:  # a data set may have nothing to test on
        return sides
    return sides if test == layout else {**sides, "test content": test.content, "test style": test.style}


def _survey(name: str, folder: Path, files: list[Path]) -> Side:
    side = Side(name, folder, files)
    for file in side.files:
        try:
            with open_image(file) as image:
                kind, turned = _kind(image), orientation(image) in range(2, 9)
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
