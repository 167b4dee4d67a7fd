"""Image files: finding them, and opening them safely. Does not import torch."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from stylekit.errors import StylekitError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
"""The suffixes of image files, in upper or lower case."""


def find_images(folder: Path | str) -> list[Path]:
    """All image files in a folder and its subfolders, in an order that is the same on every machine.

    Hidden files and folders are skipped. Links to folders are followed, but every folder is visited only once, so a link to
    a parent folder causes no loop. Broken links to files are included; reading them raises an error.

    Raises:
        StylekitError: the folder does not exist, or it or a subfolder cannot be listed
    """
    folder = existing_folder(folder)
    seen: set[str] = set()
    images: list[Path] = []
    for root, folders, names in os.walk(folder, followlinks=True, onerror=_cannot_list):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        images += [Path(root, name) for name in names if is_image(name)]
    return sorted(images, key=lambda path: path.parts)


def named_files(prefix: str, folder: Path | str, files: Iterable[Path]) -> dict[str, Path]:
    """Files in a folder by names that stay the same if the folder moves: ``prefix/relative/path.png``."""
    return {f"{prefix}/{file.relative_to(folder).as_posix()}": file for file in files}


def existing_folder(folder: Path | str) -> Path:
    folder = Path(folder)
    if not path_exists(folder):
        raise StylekitError(f"There is no folder {folder}.")
    if not folder.is_dir():
        raise StylekitError(f"{folder} is a file, not a folder.")
    return folder


def path_exists(path: Path) -> bool:
    """Whether there is a file or a folder at a path.

    Raises:
        StylekitError: the operating system refuses the path, because it is too long, for example
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:  # ValueError: the path contains a NUL
        shown = repr(str(path))
        raise StylekitError(
            f"The path {shown if len(shown) <= 300 else shown[:300] + '...'} cannot be used: {_reason(path, error)}."
        ) from None
    return True


def visible(folder: Path) -> list[Path]:
    """The files and folders directly in a folder that are not hidden, in alphabetical order.

    Raises:
        StylekitError: the folder cannot be listed
    """
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        _cannot_list(error)


def is_image(name: str) -> bool:
    """Whether a file of this name is an image, and not hidden."""
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def _cannot_list(error: OSError) -> NoReturn:
    raise StylekitError(f"The folder {error.filename} cannot be listed: {error.strerror}.") from error


@contextmanager
def open_image(path: Path | str) -> Iterator[ImageFile.ImageFile]:
    """Opens an image file with Pillow and closes it at the end. The header is read, but not yet the pixels.

    Pillow's warnings, for example about a very large image or damaged EXIF, are suppressed.

    Raises:
        StylekitError: any error inside the ``with`` block, as one sentence that names the file
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")
            with Image.open(path) as image:
                if image.mode == "LAB":
                    raise ValueError("its colour space is LAB, which Pillow cannot convert; save it as RGB")
                yield image
    except StylekitError:
        raise
    except Exception as error:  # decoders may raise any type of error on damaged files
        raise StylekitError(f"{path} cannot be read: {_reason(Path(path), error)}.") from error


def orientation(image: Image.Image, decode: bool = True) -> int:
    """The EXIF orientation: 1 is upright; from 5 to 8, width and height are swapped.

    Args:
        image: an open image
        decode: look behind the pixels too, where a PNG file may have it, for which Pillow decodes them
    """
    try:
        exif = image.getexif() if decode else Image.Image.getexif(image)
        return int(exif.get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF is no reason to reject the pixels
        return 1


def upright_size(image: Image.Image, decode: bool = True) -> tuple[int, int]:
    """Width and height after applying the EXIF orientation; ``decode`` as in :func:`orientation`."""
    width, height = image.size
    return (height, width) if orientation(image, decode) in range(5, 9) else (width, height)


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is damaged or in a format that Pillow does not support" if path.stat().st_size else "it is empty"
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, IsADirectoryError):
        return "it is a folder"
    if isinstance(error, Image.DecompressionBombError):
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        return f"it has more than {limit:,} pixels, Pillow's safety limit; make it smaller first"
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
