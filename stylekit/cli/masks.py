"""Reads ``--mask``: images for all pictures, or folders with a mask for each picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stylekit.datasets.files import find_images
from stylekit.errors import StylekitError


class Masks:
    """The masks of every picture.

    Args:
        paths: for each region an image for all pictures, or a folder with an image for each
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._masks: list[Any] = []
        self._read_mask: Callable[[Path], Any]

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def folders(self) -> list[Path]:
        return [path for path in self._paths if path.is_dir()]

    def read(self, arrays: bool = False) -> None:
        """Reads the images, and lists the folders.

        Args:
            arrays: masks are arrays instead of tensors

        Raises:
            StylekitError: an image cannot be read, or a folder cannot be listed.
        """
        self._read_mask = mask_reader(arrays)
        self._masks = [_by_name(path) if path.is_dir() else self._read_mask(path) for path in self._paths]

    def of(self, relative: Path) -> list[Any]:
        """The masks of a picture, one per region; :meth:`read` comes first.

        Args:
            relative: path of the picture within its folder; the mask's is the same, or differs in the suffix

        Raises:
            StylekitError: there is no mask of that name, or several, or it cannot be read.
        """
        return [
            self._read_mask(_find(path, mask, relative)) if isinstance(mask, dict) else mask
            for path, mask in zip(self._paths, self._masks, strict=True)
        ]


def mask_reader(arrays: bool) -> Callable[[Path], Any]:
    """What reads a mask, as an array or as a tensor."""
    if arrays:
        from stylekit.inference.exported.controls import read_mask as read_array

        return read_array
    from stylekit.inference.controls import read_mask

    return read_mask


def _by_name(folder: Path) -> dict[Path, list[Path]]:
    """The images of a folder by their relative path without the suffix."""
    names: dict[Path, list[Path]] = {}
    for image in find_images(folder):
        names.setdefault(image.relative_to(folder).with_suffix(""), []).append(image)
    return names


def _find(folder: Path, names: dict[Path, list[Path]], relative: Path) -> Path:
    matches = names.get(relative.with_suffix(""), [])
    if folder / relative in matches:
        return folder / relative
    if len(matches) != 1:
        several = f"several masks: {', '.join(path.name for path in matches)}" if matches else "no mask"
        raise StylekitError(f"There is {several} for {relative} in {folder}.")
    return matches[0]
