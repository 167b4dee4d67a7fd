"""Reads ``--style``: styles to blend, or styles to apply one by one, and their names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stylekit.cli.naming import distinct
from stylekit.datasets.files import SUFFIXES, find_images
from stylekit.errors import StylekitError

STYLE_FILE = ".style"


@dataclass(frozen=True)
class StyleMix:
    """The styles of one output: none, one, or several that are blended or have a mask each.

    Attributes:
        name: their name in file names and reports; None: no style is given
        styles: what the user gave for each, and its weight
    """

    name: str | None
    styles: tuple[tuple[str, float], ...]

    @property
    def files(self) -> list[Path]:
        """The paths of those that may be files."""
        return [Path(style) for style, _ in self.styles]


def read_style_mixes(texts: Sequence[str], each: bool = False) -> tuple[list[StyleMix], list[Path]]:
    """The styles of the command line: one mix of them all, or with ``each`` or a folder of styles, one mix for each.

    Returns:
        the mixes, with distinct names, and the folders among the texts

    Raises:
        StylekitError: styles that are applied one by one have weights.
    """
    folders = [Path(text) for text in texts if Path(text).is_dir() and any(_styles_in(Path(text)))]
    if not each and not folders:
        styles = tuple(_weighted(text) for text in texts)
        return [StyleMix("+".join(style_name(style) for style, _ in styles) or None, styles)], []
    single: list[str] = []
    for text in texts:
        style, weight = _weighted(text)
        if weight != 1:
            raise StylekitError(
                f"--style {text} has a weight, but the styles are not blended: each is applied to each image. Leave the "
                "weight out, or leave out --each-style and give files, not a folder."
            )
        single += map(str, _styles_in(Path(text))) if Path(text) in folders else [style]
    names = distinct(Path(style_name(style)) for style in single)
    mixes = [StyleMix(str(name), ((style, 1.0),)) for name, style in zip(names, single, strict=True)]
    return mixes or [StyleMix(None, ())], folders


def style_name(style: str) -> str:
    """The name of a style in file names: that of a file without its suffix."""
    path, _, look = style.partition(f"{STYLE_FILE}#")
    if look:
        return f"{Path(path).name}-{look}"
    is_file = style.lower().endswith((*SUFFIXES, STYLE_FILE))
    return (Path(style).stem if is_file else Path(style).name).replace(os.sep, "_")


def check_folder_names(folders: Sequence[Path], texts: Sequence[str], learned: Sequence[str]) -> None:
    """Checks that no folder of styles has the name of a style that the model has learned.

    Raises:
        StylekitError: one has, so it is not clear which is meant.
    """
    for folder in folders:
        if str(folder) in learned and str(folder) in texts:
            raise StylekitError(
                f"{folder} is a folder, and also a style of the model. For the folder, write ./{folder}."
            )


def _weighted(text: str) -> tuple[str, float]:
    """A style named on the command line, and its weight, which follows the last colon.

    If there is a file of the whole name, such as ``sunset:2``, the name has no weight.
    """
    name, colon, number = text.rpartition(":")
    if not colon or os.path.exists(text):
        return text, 1.0
    try:
        return name, float(number)
    except ValueError:
        return text, 1.0


def _styles_in(folder: Path) -> Iterator[Path]:
    """The images and style files of a folder and its subfolders, sorted."""
    files = (path for path in folder.rglob(f"*{STYLE_FILE}") if path.is_file() and not path.name.startswith("."))
    yield from sorted({*find_images(folder), *files}, key=lambda path: path.parts)
