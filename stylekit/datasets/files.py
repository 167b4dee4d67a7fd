"""Image files: finding them, and opening them safely. Does not import torch."""

from __future__ import annotations

import errno
import importlib.util
import io
import math
import os
import stat
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NoReturn

from PIL import ExifTags, Image, ImageFile, TiffImagePlugin, UnidentifiedImageError, features

from stylekit._files import path_exists
from stylekit.datasets import png_text
from stylekit.datasets.members import AnyFile, Member, byte_size
from stylekit.datasets.values import foreign_values
from stylekit.errors import StylekitError, warn

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000", "AVIF", "HEIF", "PPM", "TGA")
"""The formats that are read. Pillow knows more, some of which run other programs, such as Ghostscript for EPS."""
HEIC = (".heic", ".heif", ".hif")
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".jp2", ".j2k"),
    *([".avif"] if "avif" in features.modules and features.check("avif") else []),
    *(HEIC if importlib.util.find_spec("pillow_heif") else []),
)
"""The suffixes of image files, in upper or lower case."""
VIDEO = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg"),
    *(".wmv", ".flv", ".3gp", ".mts", ".m2ts", ".ogv"),
)
OTHERS = {
    *(".avif", *HEIC, ".jxl", ".jxr", ".psd", ".psb", ".xcf", ".kra", ".svg", ".eps", ".ai", ".ico", ".icns"),
    *(".exr", ".hdr", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".dds", ".qoi", ".pcx", ".jpx", ".jpf", ".j2c"),
    *(".dng", ".raw", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw", *VIDEO),
} - {*SUFFIXES}
"""The suffixes of other images and videos. A folder's files with these are left out, and a warning counts them."""
INSTALL_HEIC = "pip install 'stylekit-torch[heic]'"


def find_images(folder: Path | str, suffixes: tuple[str, ...] | None = None) -> list[Path]:
    """All image files in a folder and its subfolders, in an order that is the same on every machine.

    Hidden files and folders are skipped. Links to folders are followed, but every folder is visited only once, so a link to
    a parent folder causes no loop. A warning names broken links, loops of links, folders that cannot be listed and files that
    are not regular, such as pipes; another counts images and videos in formats that are not read.

    Args:
        folder: the folder
        suffixes: the suffixes of image files, in lower case; by default, those of the pictures that stylekit reads

    Raises:
        StylekitError: the folder does not exist or cannot be listed
    """
    search = _Search(suffixes or SUFFIXES)
    search.walk(existing_folder(folder))
    return sorted(search.images, key=lambda path: path.parts)


class _Search:
    """The image files below a folder, and what is left out."""

    def __init__(self, suffixes: tuple[str, ...]) -> None:
        self.suffixes = suffixes
        self.images: list[Path] = []
        self.problems: list[str] = []
        self.others: Counter[str] = Counter()

    def walk(self, folder: Path) -> None:
        seen: set[str] = set()
        remaining = [folder]
        while remaining:
            current = remaining.pop()
            real = os.path.realpath(current)
            if real in seen:
                continue
            seen.add(real)
            try:
                paths = visible(current)
            except StylekitError:
                if current == folder:
                    raise
                self.problems.append(f"{current} (it cannot be listed)")
                continue
            remaining += reversed([path for path in paths if not self._add(path)])
        self._report(folder)

    def _add(self, path: Path) -> bool:
        """Adds a file to where it belongs; returns False for a folder."""
        suffix = path.suffix.lower()
        try:
            mode, problem = path.stat().st_mode, "not a regular file"
        except OSError as error:
            mode, problem = 0, "a broken link" if error.errno == errno.ENOENT else str(error.strerror).lower()
        if stat.S_ISDIR(mode):
            return False
        if stat.S_ISREG(mode):
            self.images += [path] if is_image(path.name, self.suffixes) else []
            self.others.update([suffix] if suffix in OTHERS and suffix not in self.suffixes else [])
        elif is_image(path.name, self.suffixes) or (not suffix and path.is_symlink()):
            self.problems.append(f"{path} ({problem})")
        return True

    def _report(self, folder: Path) -> None:
        if self.problems:
            more = f" and {len(self.problems) - 10} more" if len(self.problems) > 10 else ""
            warn(f"{folder}: skipped {', '.join(self.problems[:10])}{more}.")
        if self.others:
            others = [f"{count} {suffix}" for suffix, count in sorted(self.others.items())]
            heic = f" To read HEIC: {INSTALL_HEIC}." if self.others.keys() & set(HEIC) else ""
            warn(f"{folder}: left out {', '.join(others)} (stylekit does not read them).{heic}")


def named_files(prefix: str, folder: Path | str, files: Iterable[AnyFile]) -> dict[str, AnyFile]:
    """Files in a folder by names that stay the same if the folder moves: ``prefix/relative/path.png``.

    The name of a file in a shard has that of the shard in it, as if that were a folder.
    """
    return {f"{prefix}/{_relative(file, folder)}": file for file in files}


def _relative(file: AnyFile, folder: Path | str) -> str:
    return f"{file.shard.label}/{file.name}" if isinstance(file, Member) else file.relative_to(folder).as_posix()


def existing_folder(folder: Path | str) -> Path:
    folder = Path(folder)
    if not path_exists(folder):
        raise StylekitError(f"There is no folder {folder}.")
    if not folder.is_dir():
        raise StylekitError(f"{folder} is a file, not a folder.")
    return folder


def visible(folder: Path) -> list[Path]:
    """The files and folders directly in a folder that are not hidden, in alphabetical order.

    Raises:
        StylekitError: the folder cannot be listed
    """
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        _cannot_list(error)


def is_image(name: str, suffixes: tuple[str, ...] | None = None) -> bool:
    """Whether a file of this name is an image, and not hidden."""
    return not name.startswith(".") and name.lower().endswith(suffixes or SUFFIXES)


def _cannot_list(error: OSError) -> NoReturn:
    raise StylekitError(f"The folder {error.filename} cannot be listed: {error.strerror}.") from error


@contextmanager
def open_image(path: AnyFile | str) -> Iterator[ImageFile.ImageFile]:
    """Opens an image file, perhaps in a shard, with Pillow and closes it at the end. Its header is read, but not yet pixels.

    Only regular files of the known formats are opened. Pillow's warnings, for example about a very large image or damaged
    EXIF, are suppressed.

    Raises:
        StylekitError: any error inside the ``with`` block, as one sentence that names the file
    """
    try:
        with warnings.catch_warnings(), _opened(path) as (file, size):
            warnings.filterwarnings("ignore", module="PIL")
            source, profile = png_text.readable(file)
            with Image.open(source, formats=_formats()) as image:
                _require_plausible(image, size)
                if profile:
                    image.info["icc_profile"] = profile
                yield image
    except StylekitError:
        raise
    except Exception as error:  # decoders may raise any type of error on damaged files
        reason = _reason(path if isinstance(path, Member) else Path(path), error)
        raise StylekitError(f"{path} cannot be read: {reason}.") from error


@contextmanager
def _opened(path: AnyFile | str) -> Iterator[tuple[BinaryIO, int]]:
    """Yields an open file, and its size in bytes."""
    if isinstance(path, Member):
        yield io.BytesIO(path.read_bytes()), path.size
        return
    _require_regular(path)
    with open(path, "rb") as file:
        yield file, os.path.getsize(path)


DENSEST = {"PNG": 8 * 1032, "JPEG": 1024}
"""More pixels than a byte of such a file can stand for: deflate shrinks at most 1032 times, and a block of a JPEG file needs
at least a bit. Pillow fills the pixels that are missing, so a few bytes could take gigabytes."""


def _require_plausible(image: Image.Image, size: int) -> None:
    """Checks that a file of ``size`` bytes can hold the pixels that its header claims."""
    if image.width * image.height > DENSEST.get(image.format or "", math.inf) * size:
        raise ValueError(
            f"its header claims {image.width}x{image.height} pixels, which its {size:,} bytes cannot hold: it is truncated"
        )


def _require_regular(path: Path | str) -> None:
    """Checks that a path is not that of a pipe or a device, without opening it, which could wait for ever."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a folder raises an error of its own
        raise ValueError("it is not a regular file")


@lru_cache(maxsize=1)
def _formats() -> list[str]:
    if HEIC[0] in SUFFIXES:
        import pillow_heif

        pillow_heif.register_heif_opener()
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


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
    turned = orientation(image, decode) in range(5, 9)
    # Newer versions of Pillow exchange the sides of a TIFF file when they open it.
    if turned and isinstance(image, TiffImagePlugin.TiffImageFile):
        width, height = (image.tag_v2.get(tag, side) for tag, side in ((256, width), (257, height)))
    return (height, width) if turned else (width, height)


def _unknown(path: AnyFile) -> str:
    """Why a file is not identified as an image."""
    suffix = path.suffix.lower()
    if not byte_size(path):
        return "it is empty"
    if suffix in VIDEO:
        return "it is a video, not a picture; give one frame of it, or stylise it with `stylekit video`"
    if suffix in HEIC and suffix not in SUFFIXES:
        return f"HEIC needs a reader; install it with {INSTALL_HEIC}"
    if suffix == ".npy":
        return "NPY files are for models that were trained on values, with the data set 'rasters'; save it as PNG"
    if suffix in OTHERS:
        return f"it is damaged or stylekit does not read {suffix} files; save it as PNG"
    with _opened(path) as (file, _):
        if reason := foreign_values(file):
            return reason
    return "it is damaged or in a format that stylekit does not read"


def _reason(path: AnyFile, error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return _unknown(path)
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, IsADirectoryError):
        return "it is a folder"
    if isinstance(error, Image.DecompressionBombError):
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        way = "make it smaller first, or stylise it with --max-memory"
        return f"it has more than {limit:,} pixels, Pillow's safety limit; {way}"
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
