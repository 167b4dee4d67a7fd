"""Reading image files, and PIL images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFile

from stylekit.datasets import AnyFile
from stylekit.datasets.files import open_image, orientation, upright_size
from stylekit.errors import StylekitError
from stylekit.images import bands, deep, pixels, profiles
from stylekit.images.decoded import Decoded
from stylekit.images.metadata import collect
from stylekit.images.picture import Picture, over_white
from stylekit.native.memory import free_cpu_memory, memory_text

if TYPE_CHECKING:
    from torch import Tensor

BYTES_PER_PIXEL = {(False, False): 28, (True, False): 75, (False, True): 9, (True, True): 30}
"""Memory for one pixel while an image is read, as measured with a colour profile, by whether it has 16 bits, and whether its
values stay integers."""

SMALL = 2**26
"""Bytes that are not worth asking for the free memory."""


def size(path: AnyFile | str) -> tuple[int, int]:
    """The height and width of the image in a file, or of its first frame, upright, by its header: the pixels are not decoded.

    Raises:
        StylekitError: the file is missing, damaged, too large or not an image
    """
    with open_image(path) as file:
        width, height = upright_size(file, decode=False)
        return height, width


def require_memory(path: AnyFile | str, frames: Iterable[ImageFile.ImageFile], decoded: bool = False) -> None:
    """Checks by the headers that the memory for all frames of a file is free.

    Args:
        path: the file
        frames: the open file, at each of its frames
        decoded: whether the values stay integers

    Raises:
        StylekitError: it is not; the message contains both numbers
    """
    needed, sizes = 0, []
    for frame in frames:
        needed += frame.width * frame.height * BYTES_PER_PIXEL[deep.has_16_bits(frame), decoded]
        sizes.append(frame.size)
    if needed > SMALL and needed > (free := free_cpu_memory()):
        width, height = max(sizes, key=math.prod)
        pixels = (
            "up to " * (len(set(sizes)) > 1)
            + f"{width}x{height} pixels"
            + f" in {len(sizes)} frames" * (len(sizes) > 1)
        )
        by_bands = decoded and frame.format == "TIFF" and not bands.installed()
        raise StylekitError(
            f"{path} has {pixels}. Reading it needs about {memory_text(needed)}, but only {memory_text(free)} are free."
            + f" With `{bands.INSTALL_RASTERS}`, it is read in bands." * by_bands
        )


def read(path: AnyFile | str, least: int | None = None, arrays: bool = False) -> Picture:
    """Reads an image file. Of a file with several pages or frames, only the first is read.

    ====================================  ====================================================================
    In the file                           Result
    ====================================  ====================================================================
    8-bit RGB, grey, 1-bit                colours divided by 255; grey in all three channels
    palette                               colours, with the transparency as alpha
    RGBA, LA, a transparent colour        colours, not multiplied by alpha, and alpha
    16-bit PNG and TIFF                   divided by 65535; a transparent value as alpha
    signed or 32-bit integer grey         divided by 65535; other values than those of 16 bits are refused
    float grey                            as it is; NaN becomes 0, and values outside ``[0, 1]`` are refused
    CMYK                                  sRGB, with the file's ICC profile or else Pillow's default conversion
    LAB                                   sRGB
    YCbCr                                 RGB
    ====================================  ====================================================================

    The EXIF orientation is applied. Colours are converted to sRGB by an RGB or grey ICC profile, or by the gamma and the
    primaries of a PNG file; a damaged profile is ignored. Previews in the metadata are dropped.

    Args:
        path: the file
        least: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size as long as both sides keep at least this many pixels,
            which is much faster for photos that are reduced anyway
        arrays: the picture has NumPy arrays instead of tensors, and torch is not imported

    Raises:
        StylekitError: the file is missing, damaged, truncated, too large or not an image
    """
    with open_image(path) as file:
        if least is not None:
            file.draft(None, (least, least))
        require_memory(path, [file])
        samples = deep.samples(path, file)
        file.load()
        return picture_of(file, samples, arrays)


def from_pil(image: Image.Image) -> Picture:
    """Converts a PIL image as :func:`read` does; the PIL image is not modified.

    Raises:
        StylekitError: the image is closed, or its pixels cannot be read
    """
    with _explained():
        image.load()
        return picture_of(image)


@contextmanager
def _explained() -> Iterator[None]:
    """Makes a StylekitError of what happens to a PIL image."""
    try:
        yield
    except Exception as error:  # Pillow raises many types
        raise StylekitError(f"The PIL image cannot be read: {error}.") from error


def picture_of(image: Image.Image, samples: pixels.Array | None = None, arrays: bool = False) -> Picture:
    """The content of a loaded PIL image, with the values of 16 bits if Pillow could not keep them."""
    return decoded_of(image, samples).part(arrays=arrays)


def decoded_of(image: Image.Image, samples: pixels.Array | None = None) -> Decoded:
    """The same as integers; its parts are converted as they are needed."""
    turn = orientation(image)
    stored, alpha = _channels(image) if samples is None else _deep_channels(image, samples)
    return Decoded(
        pixels.upright(stored, turn),
        None if alpha is None else pixels.upright(alpha, turn),
        collect(image),
        profiles.rgb_profile(image),
    )


def decode(path: AnyFile | str) -> Decoded:
    """Reads an image file as :func:`read` does, but leaves its values as they are, in a fraction of the memory.

    With the extra ``rasters``, the values of a TIFF file are read in bands, when a part is taken: its memory does not grow with
    the height of the image. Then a damaged file may be noticed only by :meth:`Decoded.part`, which raises the same error.

    Raises:
        StylekitError: as for :func:`read`
    """
    with open_image(path) as file:
        if values := bands.readable(path, file):
            return Decoded(*values, collect(file), profiles.rgb_profile(file))
        require_memory(path, [file], decoded=True)
        samples = deep.samples(path, file)
        file.load()
        return decoded_of(file, samples)


def _channels(image: Image.Image) -> tuple[pixels.Array, pixels.Array | None]:
    image = image.convert("LA") if image.mode == "La" else image  # the only mode that Pillow cannot convert further
    return pixels.colors(profiles.as_rgb(image)), pixels.alpha(image)


def _deep_channels(image: Image.Image, samples: pixels.Array) -> tuple[pixels.Array, pixels.Array | None]:
    stored, transparent = samples[..., :3], image.info.get("transparency")
    if transparent is not None:
        return stored, np.where((stored == transparent).all(-1), 0, 255).astype(np.uint8)
    return stored, samples[..., 3] if samples.shape[-1] == 4 else None


def read_over_white(path: AnyFile | str, least: int | None = None) -> Tensor:
    """The colours ``(1, 3, H, W)`` in ``[0, 1]`` of an image file, composited over white.

    Args:
        path: the file
        least: as for :func:`read`

    Raises:
        StylekitError: as for :func:`read`
    """
    picture = read(path, least)
    return over_white(picture.image, picture.alpha)


def to_tensor(image: Image.Image) -> Tensor:
    """The colours ``(1, 3, H, W)`` in ``[0, 1]`` of a PIL image, as they are stored, of any mode that :func:`read` supports.

    Raises:
        StylekitError: the image is closed, or its pixels cannot be read
    """
    with _explained():
        return pixels.to_float(pixels.colors(profiles.as_rgb(image)))
