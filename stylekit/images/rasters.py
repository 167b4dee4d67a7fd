"""Images of any type and number of channels, as their files hold them: 8, 16 and 32 bits, signed, floating point, slices.

TIFF and NPY files are read as they are, other pictures without colour management, and more formats by plugins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stylekit._files import write_atomic
from stylekit.datasets import SUFFIXES
from stylekit.errors import StylekitError, counted
from stylekit.images.pixels import LUMA, Array
from stylekit.images.raster_formats import NpyFormat, PictureFormat, TiffFormat
from stylekit.registry import lookup

if TYPE_CHECKING:
    from stylekit.hookspecs import ImageFormat


@dataclass(frozen=True, eq=False)
class Raster:
    """What a file holds.

    Attributes:
        values: pages or slices, rows, columns and channels ``(P, H, W, C)``, of the file's type
        file: the file that they were read from
        original: what the file's format keeps, to write another file like it
    """

    values: Array
    file: Path | None = None
    original: Any = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.values.shape[1], self.values.shape[2]

    @property
    def channels(self) -> int:
        """The number of channels."""
        return int(self.values.shape[3])


def raster_suffixes() -> tuple[str, ...]:
    """The suffixes of all files that :func:`read_raster` reads."""
    return (*BUILT_IN, *lookup.image_formats())


def raster_suffix(name: str) -> str | None:
    """The suffix of a file of values, such as ``.npy`` or that of a plugin's format, ``.nii.gz``; None for other files."""
    name = name.lower()
    known = [".npy", *SUFFIXES]
    if not name.endswith(tuple(known)) and "." in name:
        known += lookup.image_formats()
    return max((suffix for suffix in known if name.endswith(suffix)), key=len, default=None)


def read_raster(path: Path | str, channels: int | None = None) -> Raster:
    """Reads a file as it is. Colours are not converted, unless a picture is to be grey.

    Args:
        path: a TIFF or NPY file, another picture, or a file of a format that a plugin reads
        channels: the number of channels that it must have. Colours of a picture that is no TIFF file become grey for 1, by
            the luma of ITU-R BT.601, and grey is repeated for 3

    Raises:
        StylekitError: the file is missing, damaged, too large, of another format or type, or has other channels.
    """
    path = Path(path)
    suffix = raster_suffix(path.name)
    if suffix is None:
        raise StylekitError(f"{path} has no suffix of an image format. Known: {', '.join(raster_suffixes())}.")
    if not path.is_file():
        raise StylekitError(f"{path} cannot be read: there is no such file.")
    if not path.stat().st_size:
        raise StylekitError(f"{path} cannot be read: it is empty.")
    try:
        values, original = _format(suffix).read(path)
    except StylekitError as error:
        raise StylekitError(str(error) if str(path) in str(error) else f"{path} cannot be read: {error}") from None
    except Exception as error:  # readers raise many types for damaged files
        raise StylekitError(
            f"{path} cannot be read: {' '.join(str(error).split()) or type(error).__name__}."
        ) from error
    if values.ndim != 4 or not values.size or values.dtype.kind not in "uif":
        raise StylekitError(f"{path} cannot be used: it has {_described(values)}, not numbers of pixels.")
    raster = Raster(values.astype(values.dtype.newbyteorder("="), copy=False), path, original)
    return raster if channels is None else _fitted(raster, channels, path)


def _fitted(raster: Raster, channels: int, path: Path) -> Raster:
    found, values = raster.channels, raster.values
    is_picture = isinstance(_format(raster_suffix(path.name) or ""), PictureFormat)
    if found == channels:
        return raster
    if is_picture and found == 3 and channels == 1:
        grey = np.floor(values @ np.array(LUMA)[:, None] + 0.5)
        return replace(raster, values=grey.astype(values.dtype))
    if is_picture and found == 1 and channels == 3:
        return replace(raster, values=np.repeat(values, 3, -1))
    raise StylekitError(
        f"{path} has {counted(found, 'channel')}, but {channels} {'are' if channels != 1 else 'is'} needed here. "
        "Which of them to use cannot be guessed: save the file with these only."
    )


def write_raster(path: Path | str, raster: Raster) -> None:
    """Writes values atomically, in their type. What the format kept of the file that they came from is kept.

    Raises:
        StylekitError: the format does not hold such values, or the file cannot be written.
    """
    path = Path(path)
    suffix = raster_suffix(path.name)
    if suffix is None:
        raise StylekitError(f"{path} has no suffix of an image format. Use one of {', '.join(raster_suffixes())}.")
    format_ = _format(suffix)
    source = raster.file and raster_suffix(raster.file.name)
    original = raster.original if source and type(format_) is type(_format(source)) else None
    try:
        content = format_.encode(raster.values, original)
    except StylekitError as error:
        raise StylekitError(f"{path} cannot be written: {error}") from None
    except Exception as error:  # writers raise many types
        raise StylekitError(
            f"{path} cannot be written: {' '.join(str(error).split()) or type(error).__name__}."
        ) from error
    write_atomic(path, content)


BUILT_IN: dict[str, ImageFormat] = {
    **{suffix: PictureFormat(suffix) for suffix in SUFFIXES},
    **dict.fromkeys((".tif", ".tiff"), TiffFormat()),
    ".npy": NpyFormat(),
}


def _format(suffix: str) -> ImageFormat:
    return BUILT_IN[suffix] if suffix in BUILT_IN else lookup.image_formats()[suffix]


def _described(values: Array) -> str:
    return f"values of the type {values.dtype} in the shape {values.shape}"
