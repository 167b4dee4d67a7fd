"""The formats that hold images of any type: TIFF and NPY, and the other pictures without colour management."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stylekit.datasets.files import open_image, orientation
from stylekit.errors import StylekitError
from stylekit.images import deep, pixels
from stylekit.images.picture import Metadata
from stylekit.images.pixels import Array
from stylekit.images.png import encode_png
from stylekit.images.reading import require_memory
from stylekit.images.writing import FORMATS
from stylekit.native.memory import free_cpu_memory, memory_text
from stylekit.registry.extras import import_extra

NO_PALETTE = (
    "has a palette, whose numbers may mean colours or classes. Save the numbers as grey, or the colours as RGB."
)
"""Why an image with a palette is refused, after its name."""
BYTES = 12
"""Memory for a byte of a file's values, of which there are a copy as float64 and one as float32 at a time."""


def require_room(count: int, itemsize: int) -> None:
    """Checks that the memory for the values of a file is free.

    Raises:
        StylekitError: it is not; the message contains both numbers.
    """
    needed, free = count * (itemsize + BYTES), free_cpu_memory()
    if needed > free:
        raise StylekitError(
            f"Its {count:,} values need about {memory_text(needed)}, but only {memory_text(free)} are free."
        )


class NpyFormat:
    """NumPy's files of one array: ``(H, W)``, ``(H, W, C)`` or ``(P, H, W, C)``, of integers or floats."""

    def read(self, path: Path) -> tuple[Array, int]:
        """The values ``(P, H, W, C)``, and how many dimensions the array has. Sizes are checked before it is read."""
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, kind = header(file)
            if kind.kind not in "uif":
                raise StylekitError(f"{path} has values of the type {kind}. Save integers or floats.")
            if len(shape) not in (2, 3, 4) or not math.prod(shape):
                raise StylekitError(f"{path} has the shape {shape}, but an image is (H, W), (H, W, C) or (P, H, W, C).")
            if math.prod(shape) * kind.itemsize > path.stat().st_size - file.tell():
                raise StylekitError(f"{path} cannot be read: it is truncated, or its header is damaged.")
            require_room(math.prod(shape), kind.itemsize)
            file.seek(0)
            values: Array = np.lib.format.read_array(file, allow_pickle=False)
        full = shape if len(shape) == 4 else (1, *shape) if len(shape) == 3 else (1, *shape, 1)
        return values.reshape(full), len(shape)

    def encode(self, values: Array, original: int | None) -> bytes:
        """A file with the values ``(P, H, W, C)``, in as few dimensions as hold them, or as many as the original has."""
        dimensions = original or (4 if len(values) > 1 else 3 if values.shape[-1] > 1 else 2)
        file = io.BytesIO()
        np.save(file, values if dimensions == 4 else values[0] if dimensions == 3 else values[0, ..., 0])
        return file.getvalue()


@dataclass(frozen=True, eq=False)
class TiffOriginal:
    """What is kept of a TIFF file.

    Attributes:
        axes: a letter for each dimension, as tifffile names them
        shape: the length of each dimension
        options: arguments of ``tifffile.imwrite``
        description: the description of the first page, such as the XML of OME
    """

    axes: str
    shape: tuple[int, ...]
    options: dict[str, Any]
    description: bytes


class TiffFormat:
    """TIFF files, those of OME and ImageJ too, of integers with and without a sign, and floats, of any number of channels.

    Channels are the dimensions C and S of tifffile; time, depth and the like are pages.
    """

    def read(self, path: Path) -> tuple[Array, TiffOriginal]:
        """The values ``(P, H, W, C)`` of the first image, and what is kept of the file."""
        tifffile = import_extra("tifffile", "rasters", f"Reading {path}")
        with tifffile.TiffFile(path) as file:
            if len(file.series) != 1:
                raise StylekitError(f"{path} has {len(file.series)} images of its own. Save each in a file of its own.")
            series, page = file.series[0], file.pages[0]
            self._check(path, series, page)
            values = series.asarray()
            kept = TiffOriginal(series.axes, series.shape, _options(page), _description(page))
        return np.ascontiguousarray(_pages(values, series.axes)), kept

    def _check(self, path: Path, series: Any, page: Any) -> None:
        if series.dtype is None or series.dtype.kind not in "uif":
            raise StylekitError(f"{path} has values of the type {series.dtype}. Save it with 8, 16 or 32 bits.")
        if page.photometric.name == "PALETTE":
            raise StylekitError(f"{path} {NO_PALETTE}")
        if not {"Y", "X"} <= {*series.axes} or len({"C", "S"} & {*series.axes}) > 1:
            raise StylekitError(f"{path} has the dimensions {series.axes}, of which those of an image are not clear.")
        require_room(math.prod(series.shape), series.dtype.itemsize)

    def encode(self, values: Array, original: TiffOriginal | None) -> bytes:
        """A file with the values ``(P, H, W, C)``, its dimensions and description as those of the original."""
        tifffile = import_extra("tifffile", "rasters", "Writing TIFF files of any type")
        file = io.BytesIO()
        if original is None or _pages(np.broadcast_to(0, original.shape), original.axes).shape != values.shape:
            options = original.options if original and original.options["photometric"] == "rgb" else {}
            with tifffile.TiffWriter(file) as writer:
                for page in values:
                    given = {"photometric": "minisblack", "planarconfig": "contig", **options}
                    writer.write(page if page.shape[-1] > 1 else page[..., 0], metadata=None, **given)
            return file.getvalue()
        arranged = _arranged(values, original)
        # The description tells readers of OME, ImageJ and others of the dimensions, which are the same.
        tifffile.imwrite(file, arranged, metadata=None, description=original.description or None, **original.options)
        return file.getvalue()


def _order(axes: str) -> list[int]:
    """The dimensions of a TIFF file in the order of pages, rows, columns and channels."""
    pages = [index for index, axis in enumerate(axes) if axis not in "YXCS"]
    return [*pages, axes.index("Y"), axes.index("X"), *(index for index, axis in enumerate(axes) if axis in "CS")]


def _pages(values: Array, axes: str) -> Array:
    """The values ``(P, H, W, C)`` of an array with these dimensions."""
    channels = math.prod(length for length, axis in zip(values.shape, axes, strict=True) if axis in "CS")
    height, width = (values.shape[axes.index(axis)] for axis in "YX")
    pages: Array = values.transpose(_order(axes)).reshape(-1, height, width, channels)
    return pages


def _arranged(values: Array, original: TiffOriginal) -> Array:
    """The inverse of :func:`_pages`."""
    order = _order(original.axes)
    ordered = values.reshape([original.shape[index] for index in order])
    return np.ascontiguousarray(ordered.transpose(np.argsort(order)))


def _options(page: Any) -> dict[str, Any]:
    colors = page.photometric.name.lower()
    options: dict[str, Any] = {"photometric": "rgb" if colors in ("ycbcr", "rgb") else colors}
    if page.samplesperpixel > 1:
        options["planarconfig"] = page.planarconfig.name.lower()
        if page.extrasamples:
            options["extrasamples"] = [each.name.lower() for each in page.extrasamples]
    if page.compression.name != "NONE":
        options["compression"] = "zlib"  # without loss, and what every installation writes
    if 282 in page.tags and 283 in page.tags:
        options |= {"resolution": page.resolution, "resolutionunit": page.resolutionunit}
    return options


def _description(page: Any) -> bytes:
    return str(page.description or "").encode()


class PictureFormat:
    """Grey and RGB pictures that Pillow reads, of 8 bits, and of 16 in PNG files. Values are taken as they are stored.

    Args:
        suffix: suffix of the files
    """

    def __init__(self, suffix: str) -> None:
        self.suffix = suffix

    def read(self, path: Path) -> tuple[Array, None]:
        """The values ``(1, H, W, 1 or 3)``, upright."""
        with open_image(path) as file:
            require_memory(path, [file], decoded=True)
            values = deep.samples(path, file)
            file.load()
            if file.has_transparency_data or (values is not None and values.shape[-1] == 4):
                raise StylekitError(f"{path} has transparency, which has no meaning among values. Save it without.")
            if values is None:
                values = _samples(path, file)
            values = pixels.upright(np.atleast_3d(values), orientation(file))
        return np.ascontiguousarray(values[None]), None

    def encode(self, values: Array, original: None) -> bytes:
        """A file with the values ``(1, H, W, 1 or 3)``, uint8, or uint16 for PNG."""
        name, options = FORMATS[self.suffix]
        kinds = {np.dtype(np.uint8), *([np.dtype(np.uint16)] if name == "PNG" else [])}
        if values.dtype not in kinds or len(values) != 1 or values.shape[-1] not in (1, 3):
            held = "uint8 and uint16" if name == "PNG" else "uint8"
            raise StylekitError(
                f"{name} files hold one page of {held} with 1 or 3 channels, not {len(values)} of {values.dtype} with "
                f"{values.shape[-1]}. Write a .tif or .npy file."
            )
        page = values[0, ..., 0] if values.shape[-1] == 1 else values[0]
        if page.dtype == np.uint16 and page.ndim == 3:
            return encode_png(page, Metadata())
        file = io.BytesIO()
        Image.fromarray(page).save(file, name, **options)
        return file.getvalue()


def _samples(path: Path, image: Image.Image) -> Array:
    """The values of a loaded image, ``(H, W)`` or ``(H, W, 3)``."""
    if image.mode.startswith("I;16") or (
        image.mode == "I" and image.format == "PNG"
    ):  # which depends on Pillow's version
        return np.asarray(image).astype(np.uint16)
    if image.mode == "P":
        raise StylekitError(f"{path} {NO_PALETTE}")
    if image.mode == "1":
        image = image.convert("L")
    if image.mode not in ("L", "RGB"):
        raise StylekitError(f"{path} has the colours {image.mode}. Save it as grey or RGB.")
    return np.asarray(image)
