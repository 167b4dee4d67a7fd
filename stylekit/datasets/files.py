"""Image files: finding them, and opening them safely. Does not import torch."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
        images += [Path(root, name) for name in names if _is_image(name)]
    return sorted(images, key=lambda path: path.parts)


def existing_folder(folder: Path | str) -> Path:
    folder = Path(folder)
    if not folder.exists():
        raise StylekitError(f"There is no folder {folder}.")
    if not folder.is_dir():
        raise StylekitError(f"{folder} is a file, not a folder.")
    return folder


def _is_image(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def _cannot_list(error: OSError) -> None:
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


def orientation(image: Image.Image) -> int:
    """The EXIF orientation: 1 is upright; from 5 to 8, width and height are swapped."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF is no reason to reject the pixels
        return 1


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height after applying the EXIF orientation."""
    width, height = image.size
    return (height, width) if orientation(image) in range(5, 9) else (width, height)


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
