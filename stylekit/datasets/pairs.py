"""Pairs of image files: two folders with equal names, side-by-side images, or a CSV file. Does not import torch."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from stylekit._files import path_exists
from stylekit.datasets.files import existing_folder, find_images, open_image, upright_size
from stylekit.datasets.layouts import begins_layout, find_layout, split_of
from stylekit.datasets.members import AnyFile, Member
from stylekit.datasets.shards import image_files, is_shards
from stylekit.errors import StylekitError, warn

Pair = tuple[AnyFile, AnyFile | None]
"""The content file and the style file. If the second is None, one file holds both images side by side."""
Size = tuple[int, int]
"""Width and height."""


def find_pairs(
    content: str | Path | None = None,
    style: str | Path | None = None,
    data: str | Path | None = None,
    split: str = "train",
) -> list[Pair]:
    """The pairs of a data set, sorted by name, or in the order of the CSV file.

    Args:
        content: folder of content images, or shards
        style: folder of style images, or shards; the two files of a pair have the same relative path, apart from the suffix
        data: instead of ``content`` and ``style``: a folder that contains both, a folder of side-by-side images, or a .csv
            file with the columns ``content``, ``style`` and optionally ``split``, and paths relative to that file
        split: train or test

    Raises:
        StylekitError: a folder, a file or a partner is missing, or the arguments contradict each other
    """
    if data is None and content is not None and style is not None:
        return _by_name(*(side if is_shards(side) else split_of(side, split) for side in (content, style)))
    if data is None or content is not None or style is not None:
        raise StylekitError(
            "The data set pairs needs two folders (--content DIR --style DIR), or --data with a folder that contains both, "
            "a folder of side-by-side images, or a .csv file."
        )
    if Path(data).suffix.lower() == ".csv":
        return _from_csv(Path(data), split)
    existing_folder(data)
    try:
        layout = find_layout(data, split)
    except StylekitError:
        if begins_layout(Path(data)):
            raise
        return _side_by_side(split_of(data, split))
    return _by_name(layout.content, layout.style)


def check_pairs(pairs: Sequence[Pair]) -> list[Pair]:
    """Checks that both images of each pair have the same size, and returns the pairs that can be opened.

    Only the headers of the files are read. One warning lists the files that cannot be opened. Side-by-side images were
    checked when they were found, and images in shards are when they are used.

    Raises:
        StylekitError: the images of a pair have different sizes, or no pair can be opened
    """
    sizes = _sizes(file for pair in pairs if _is_checked(pair) for file in pair if file)
    opened = [pair for pair in pairs if not _is_checked(pair) or sizes.keys() >= set(pair)]
    if not opened:
        raise StylekitError(f"None of the {len(pairs)} pairs can be read, such as that of {pairs[0][0]}.")
    unequal = [(one, two) for one, two in filter(_is_checked, opened) if two and sizes[one] != sizes[two]]
    wrong = next((pair for pair in unequal if _size(pair[0]) != _size(pair[1])), None)
    if wrong:
        both = " and ".join("{}x{}".format(*_size(file)) for file in wrong)
        raise StylekitError(
            f"{wrong[0]} and {wrong[1]} are a pair, but have different sizes, {both} pixels{_and_more(unequal)}. Resize one "
            "image of each such pair."
        )
    return opened


def _is_checked(pair: Pair) -> bool:
    """Whether the sizes of a pair are compared before it is used."""
    return pair[1] is not None and not any(isinstance(file, Member) for file in pair)


def _sizes(files: Iterable[AnyFile]) -> dict[AnyFile, Size]:
    """The size of each file that can be opened, by its header. One warning lists the others."""
    sizes: dict[AnyFile, Size] = {}
    problems = []
    for file in dict.fromkeys(files):
        try:
            sizes[file] = _size(file, decode=False)
        except StylekitError as problem:
            problems.append(str(problem))
    if problems:
        more = f" And {len(problems) - 10} more." if len(problems) > 10 else ""
        warn(f"{len(problems)} images cannot be read, so their pairs are skipped: {' '.join(problems[:10])}{more}")
    return sizes


def _size(file: AnyFile, decode: bool = True) -> Size:
    """Width and height, upright. Without ``decode``, a PNG file whose EXIF data is behind its pixels counts as upright."""
    with open_image(file) as image:
        return upright_size(image, decode)


def _and_more(wrong: Sequence[object]) -> str:
    return f", and there are {len(wrong) - 1} more" if len(wrong) > 1 else ""


def _by_name(content: Path | str, style: Path | str) -> list[Pair]:
    """The pairs of two folders: files with the same relative path, apart from the suffix."""
    left, right = (_images_by_name(folder) for folder in (content, style))
    for folder, mine, others in ((content, left, right), (style, right, left)):
        if not mine:
            raise StylekitError(f"There are no images in {folder}.")
        unpaired = sorted(mine.keys() - others.keys())
        if unpaired:
            partner = style if folder is content else content
            raise StylekitError(
                f"{len(unpaired)} of {len(mine)} images in {folder} have no partner of the same name in {partner}, such as "
                f"{PurePath(mine[unpaired[0]].name).name}. Remove them, or add their partners."
            )
    return [(left[name], right[name]) for name in left]


def _images_by_name(folder: Path | str) -> dict[str, AnyFile]:
    """The images of a folder or of shards, by their relative paths without suffixes."""
    images: dict[str, AnyFile] = {}
    for file in image_files(folder):
        path = file.path if isinstance(file, Member) else file.relative_to(folder)
        other = images.setdefault(path.with_suffix("").as_posix(), file)
        if other is not file:
            raise StylekitError(
                f"{other} and {file} differ only in their suffixes, so their partner is ambiguous. Rename one of them."
            )
    return images


def _side_by_side(folder: Path) -> list[Pair]:
    files = find_images(folder)
    if not files:
        raise StylekitError(f"There are no images in {folder}.")
    sizes = _sizes(files)
    if not sizes:
        raise StylekitError(f"None of the images in {folder} can be read. See: stylekit data check {folder}")
    other = [file for file, (width, height) in sizes.items() if width != 2 * height]
    for file in other:
        width, height = _size(file)
        if width != 2 * height:
            raise StylekitError(
                f"{file} has {width}x{height} pixels, so it is not two square images side by side{_and_more(other)}. For "
                "pairs in two folders, pass --content DIR --style DIR."
            )
    return [(file, None) for file in sizes]


def _from_csv(path: Path, split: str) -> list[Pair]:
    path_exists(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StylekitError(f"{path} cannot be read as CSV: {error}.") from None
    if not lines or not {"content", "style"} <= lines[0].keys():
        raise StylekitError(
            f"{path} must start with a line of column names, content,style, followed by at least one pair."
        )
    for number, line in enumerate(lines, 1):
        if not line["content"] or not line["style"]:
            raise StylekitError(f"{path} has no content or no style in pair {number}.")
    chosen = [line for line in lines if (line.get("split") or split) == split]
    if not chosen:
        raise StylekitError(f"{path} has no pair whose column split is {split!r}.")
    pairs = [(path.parent / line["content"], path.parent / line["style"]) for line in chosen]
    for image in (image for pair in pairs for image in pair):
        if not path_exists(image) or not image.is_file():
            raise StylekitError(f"{path} lists {image}, which does not exist.")
    return list(pairs)
