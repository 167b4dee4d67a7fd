"""Picture files on the disk: finding them, and opening them safely. Needs no torch."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from stylekit.errors import StylekitError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
"""The file names that count as pictures, in any case."""


def find_images(folder: Path | str) -> list[Path]:
    """All pictures below a folder, nested ones too, in an order that is the same on every machine.

    Hidden files and folders are passed over. Links to folders are followed, but every real folder is entered
    once, so a link to a folder above ends there. A link to a file that is gone is listed: reading it says so.

    Raises:
        StylekitError: there is no such folder, or it (or a folder in it) cannot be listed
    """
    folder = existing_folder(folder)
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


def existing_folder(folder: Path | str) -> Path:
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
def open_image(path: Path | str) -> Iterator[ImageFile.ImageFile]:
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


def orientation(image: Image.Image) -> int:
    """How the camera was turned, by EXIF: 1 is upright, and from 5 on width and height change places."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF is no reason to refuse the pixels
        return 1


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height as the image is shown."""
    width, height = image.size
    return (height, width) if orientation(image) in range(5, 9) else (width, height)


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
