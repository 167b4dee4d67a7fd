"""The values of files that Pillow opens, which may be no picture's, such as those of a CT. NumPy is imported late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from PIL import Image, TiffImagePlugin

if TYPE_CHECKING:
    import numpy as np

ROUNDING = 1 / 255
"""Floats may be outside [0, 1] by one level of 8 bits, as computations round."""
BITS, CHANNELS, KIND = 258, 277, 339
"""Tags of a TIFF file: the bits of each channel, their number, and whether values are unsigned, signed or floats."""
SIGNED, FLOAT, COMPLEX = 2, 3, (5, 6)
BIG = 43
"""The third byte of a BigTIFF file, whose header has 16 bytes."""
ADVICE = (
    "A picture has integers without a sign of 8 or 16 bits, or grey floats of 32 bits from 0 to 1. Convert the file, or train "
    "a model for such values with the data set 'rasters', as docs/rasters.md says"
)


def require_picture(image: Image.Image) -> None:
    """Checks that the values of an image are those of a picture, and not signed, larger than 16 bits, or far from [0, 1].

    Raises:
        ValueError: they are not.
    """
    values = _values(image)
    if values is None:
        return
    import numpy as np

    least, most = (-ROUNDING, 1 + ROUNDING) if values.dtype.kind == "f" else (0, 65535)
    low, high = np.fmin.reduce(values, None), np.fmax.reduce(values, None)  # which skip NaN
    if low < least or high > most:
        raise ValueError(f"it holds values from {low:.6g} to {high:.6g}, which are no picture's. {ADVICE}")


def _values(image: Image.Image) -> np.ndarray[Any, np.dtype[Any]] | None:
    """The values of an image that may be no picture's; None for any other."""
    import numpy as np

    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else None
    signed = tags is None or SIGNED in tags.get(KIND, ())
    if image.mode == "L" and tags is not None and signed:  # Pillow takes them as unsigned
        return np.asarray(image).view(np.int8)
    if image.mode not in ("I", "F"):
        return None
    values = np.asarray(image)
    return values if signed or image.mode == "F" else values.view(np.uint32)


def foreign_values(file: BinaryIO) -> str | None:
    """Why Pillow does not read a TIFF file, if that is the type of its values; None if it is not known."""
    try:
        head = file.read(8)
        tags = TiffImagePlugin.ImageFileDirectory_v2(head + (file.read(8) if head[2] == BIG else b""))
        file.seek(tags.next)
        tags.load(file)
        bits, kind, channels = tags[BITS][0], tags.get(KIND, (1,))[0], tags.get(CHANNELS, 1)
    except Exception:  # of many types, for a damaged file
        return None
    if kind < SIGNED and bits <= 16:
        return None
    name = f"{'floats' if kind == FLOAT else 'complex numbers' if kind in COMPLEX else 'integers'} of {bits} bits"
    sign = " with a sign" if kind == SIGNED else ""
    return f"it holds {name}{sign} in {channels} channel{'s' * (channels != 1)}, which are no picture's. {ADVICE}"
