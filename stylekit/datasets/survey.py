"""The report of ``stylekit data check`` about a folder. Does not import torch."""

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

from stylekit.datasets.files import SUFFIXES, existing_folder, open_image, orientation, upright_size
from stylekit.datasets.layouts import SPLITS, Layout, begins_layout, find_layout, split_of, subfolders
from stylekit.datasets.members import AnyFile, byte_size
from stylekit.datasets.pairs import Pair, find_pairs
from stylekit.datasets.shards import image_files, is_shards
from stylekit.datasets.values import require_picture
from stylekit.errors import StylekitError

SMALL = 64
"""An image with a side below this is reported, because it has little to learn from."""


@dataclass
class Side:
    """The content of one folder of a data set.

    Attributes:
        name: name of the side, such as ``content`` or ``test style``
        folder: the folder
        files: all image files in it
        formats: number of files of each format
        kinds: number of files of each pixel format, such as ``grey`` or ``RGB with alpha``
        sizes: width and height of each readable image, upright
        turned: number of files with an EXIF orientation other than upright
        small: readable images with a side below 64
        unreadable: the unreadable files, each with a sentence that says why
    """

    name: str
    folder: Path | str
    files: list[AnyFile]
    formats: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    turned: int = 0
    small: list[AnyFile] = field(default_factory=list)
    unreadable: dict[AnyFile, str] = field(default_factory=dict)

    @property
    def lengths(self) -> tuple[int, float, int]:
        """The minimum, median and maximum of all widths and heights."""
        lengths = [length for size in self.sizes for length in size]
        return min(lengths), statistics.median(lengths), max(lengths)

    @property
    def aspects(self) -> tuple[float, float]:
        """The minimum and the maximum of width / height."""
        aspects = [width / height for width, height in self.sizes]
        return min(aspects), max(aspects)


@dataclass
class Report:
    """The report of ``stylekit data check`` about a folder.

    Attributes:
        path: the folder
        layout: name of the layout, or None for a plain folder
        sides: the folders of the layout, or the plain folder
        duplicates: groups of files with the same bytes, on one side or on several
        problems: problems to fix, one sentence each; empty if the folder can be used for training
        notes: other remarks, one sentence each
        advice: the command to run next
    """

    path: Path | str
    layout: str | None
    sides: list[Side]
    duplicates: list[list[AnyFile]]
    problems: list[str]
    notes: list[str]
    advice: str


def survey(path: Path | str) -> Report:
    """Reads every image of a data set or of a plain folder completely, and reports what it contains.

    Args:
        path: a folder, shards, or the .csv file of a data set of pairs

    Raises:
        StylekitError: the folder does not exist, or the .csv file or a shard cannot be read
    """
    if is_shards(path):
        return _survey_shards(path)
    if Path(path).suffix.lower() == ".csv":
        return _survey_csv(Path(path))
    path = existing_folder(path)
    problems: list[str] = []
    try:
        layout = find_layout(path)
    except StylekitError as error:
        layout = None
        if begins_layout(path):  # an incomplete layout, rather than a plain folder
            problems.append(str(error))
    sides = [_survey(name, folder, image_files(folder)) for name, folder in _sides(path, layout).items()]
    for side in sides:
        if not side.files:
            problems.append(f"{side.folder} has no images. Add some ({', '.join(SUFFIXES)}).")
    notes = _pairing_notes(layout) if layout else _class_notes(path, sides[0])
    return _report(path, layout.name if layout else None, sides, problems, notes, _advice(path, layout))


def _survey_shards(source: Path | str) -> Report:
    side = _survey("images", source, image_files(source))
    problems = [] if side.files else [f"{source} has no images."]
    advice = f"stylekit train --plugin cyclegan --content {shlex.quote(str(source))} --style OTHER"
    return _report(source, None, [side], problems, [], advice)


def _survey_csv(path: Path) -> Report:
    pairs = _pairs_by_split(path)
    sides = [
        _survey(f"{'' if split == 'train' else 'test '}{name}", path, [file for file in files if file])
        for split, in_split in pairs.items()
        for name, files in zip(("content", "style"), zip(*in_split, strict=True), strict=True)
    ]
    advice = f"stylekit train --plugin METHOD --data {shlex.quote(str(path))}, for a method that reads pairs"
    problems = _size_notes([pair for in_split in pairs.values() for pair in in_split])
    return _report(path, "pairs", sides, problems, [], advice)


def _pairs_by_split(path: Path) -> dict[str, list[Pair]]:
    """The pairs of a .csv file by split; only ``train`` if both splits have the same pairs."""
    pairs: dict[str, list[Pair]] = {}
    for split in SPLITS:
        try:
            pairs[split] = find_pairs(data=path, split=split)
        except StylekitError as error:  # the file may have only one split
            last_error = error
    if not pairs:
        raise last_error
    return {"train": pairs["train"]} if pairs.get("train") == pairs.get("test") else pairs


def _report(
    path: Path | str, layout: str | None, sides: list[Side], problems: list[str], notes: list[str], advice: str
) -> Report:
    unreadable = [side for side in sides if side.unreadable]
    problems += [
        f"{side.folder} has {len(side.unreadable)} unreadable images. Replace or delete them." for side in unreadable
    ]
    duplicates = _duplicates(file for side in sides for file in side.files if file not in side.unreadable)
    return Report(path, layout, sides, duplicates, problems, notes, advice)


def _pairing_notes(layout: Layout) -> list[str]:
    """A note if the file names of the two sides form pairs."""
    try:
        pairs = find_pairs(layout.content, layout.style)
    except StylekitError:
        return []
    return [
        f"Both sides have the same file names, so methods that read pairs find {len(pairs)} pairs.",
        *_size_notes(pairs),
    ]


def _size_notes(pairs: Sequence[Pair]) -> list[str]:
    """A note if the two images of a pair have different sizes."""
    differ = []
    for first, second in pairs:
        with contextlib.suppress(StylekitError), open_image(first) as one, open_image(second or first) as other:
            if upright_size(one) != upright_size(other):
                differ.append(f"{first} and {second}")
    if not differ:
        return []
    return [
        f"{len(differ)} pairs have images of different sizes, such as {differ[0]}. Methods that read pairs refuse them."
    ]


def _class_notes(path: Path, side: Side) -> list[str]:
    """Notes on a folder without a layout: it may have a subfolder per class, or side-by-side images."""
    splits = []
    for split in SPLITS:
        with contextlib.suppress(StylekitError):  # the folder may be divided and have only one split
            splits.append(split_of(path, split))
    counts = {name: len(image_files(splits[0] / name)) for name in subfolders(splits[0])}
    filled = [f"{name} ({count})" for name, count in counts.items() if count]
    if len(filled) > 1:
        new = [name for name in subfolders(splits[-1]) if name not in counts]
        refused = f" They refuse {splits[-1]}, because {splits[0]} lacks {', '.join(new)}." if new else ""
        return [f"Methods that read labelled images can use each subfolder as a class: {', '.join(filled)}.{refused}"]
    if side.sizes and all(width == 2 * height for width, height in side.sizes):
        return [
            "All images are twice as wide as high, so methods that read pairs split each into two side-by-side images."
        ]
    return []


def _sides(path: Path, layout: Layout | None) -> dict[str, Path]:
    if layout is None:
        return _split_sides(path)
    sides = {"content": layout.content, "style": layout.style}
    try:
        test = find_layout(path, "test")
    except StylekitError:  # a data set may have no test split
        return sides
    return sides if test == layout else {**sides, "test content": test.content, "test style": test.style}


def _split_sides(path: Path) -> dict[str, Path]:
    """A folder without a layout, or its splits: training uses one of them only."""
    sides = {}
    for name, split in (("images", "train"), ("test images", "test")):
        with contextlib.suppress(StylekitError):  # a divided folder may have only one split
            sides[name] = split_of(path, split)
    return {"images": path} if path in sides.values() else sides


def _survey(name: str, folder: Path | str, files: list[AnyFile]) -> Side:
    side = Side(name, folder, files)
    for file in side.files:
        try:
            with open_image(file) as image:
                kind, turned = _pixel_format(image), orientation(image) in range(2, 9)
                image.load()
                require_picture(image)
                if turned:
                    ImageOps.exif_transpose(image, in_place=True)
                side.formats[image.format or "unknown"] += 1
                side.kinds[kind] += 1
                side.sizes.append(image.size)
                side.turned += turned
                if min(image.size) < SMALL:
                    side.small.append(file)
        except StylekitError as error:
            side.unreadable[file] = str(error)
    return side


def _pixel_format(image: ImageFile.ImageFile) -> str:
    """A description of the pixel format of an image whose pixels have not been loaded yet."""
    deep = ";16" in str(image.tile)  # only Pillow's raw mode distinguishes 16-bit RGB, not its mode
    names = {"1": "grey", "L": "grey", "I": "grey", "F": "float grey", "P": "palette"}
    mode = image.mode.partition(";")[0].removesuffix("A")
    name = names.get(mode, mode)
    return f"{'16-bit ' * deep}{name}{' with alpha' * image.has_transparency_data}"


def _duplicates(files: Iterable[AnyFile]) -> list[list[AnyFile]]:
    by_size: defaultdict[int, list[AnyFile]] = defaultdict(list)
    for file in files:
        by_size[byte_size(file)].append(file)
    by_content: defaultdict[bytes, list[AnyFile]] = defaultdict(list)
    for file in (file for same in by_size.values() if len(same) > 1 for file in same):
        by_content[hashlib.sha256(file.read_bytes()).digest()].append(file)
    return [same for same in by_content.values() if len(same) > 1]


def _advice(path: Path, layout: Layout | None) -> str:
    train = "stylekit train --plugin cyclegan"
    if layout:
        return f"{train} --data {shlex.quote(str(path))}"
    folders = [path / name for name in subfolders(path) if name not in SPLITS and image_files(path / name)]
    if len(folders) > 1:
        content, style = (shlex.quote(str(folder)) for folder in folders[:2])
        return f"{train} --content {content} --style {style}"
    return f"{train} --content {shlex.quote(str(path))} --style OTHER"
