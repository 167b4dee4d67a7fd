"""NIfTI files: volumes, slice by slice along the third axis of the file."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np

from stylekit import StylekitError
from stylekit_medical.rescaling import Array, Rescaling


class Nifti:
    """Reads and writes NIfTI files of two to four dimensions. Slices, and those of each time, are pages.

    A slice shows the first axis from left to right and the second from top to bottom; the affine matrix is kept.

    Args:
        compressed: whether files are compressed with gzip
    """

    def __init__(self, compressed: bool = False) -> None:
        self.compressed = compressed

    def read(self, path: Path) -> tuple[Array, Any]:
        """The values ``(P, H, W, 1)``, after the slope and the intercept of the file."""
        import nibabel  # only here, because it takes time, and changes the filters of warnings

        image: Any = nibabel.load(path)
        if not 2 <= len(image.shape) <= 4 or image.get_data_dtype().kind not in "uif":
            raise StylekitError(
                f"{path} has {image.get_data_dtype()} in the shape {image.shape}. Only volumes of numbers are supported."
            )
        stored = np.asanyarray(image.dataobj.get_unscaled())
        values = _rescaled(image, stored)
        turned = values.T  # (T, Z, Y, X)
        return np.ascontiguousarray(turned.reshape(-1, *turned.shape[-2:], 1)), image

    def encode(self, values: Array, original: Any) -> bytes:
        """A file like the original with these values."""
        if original is None:
            raise StylekitError(
                "a NIfTI file is made of another one, whose place in space it keeps. Write .tif or .npy."
            )
        if values[..., 0].shape[1:] != original.shape[1::-1]:
            raise StylekitError("the slices of a NIfTI file keep their size, because their place in space is stored.")
        turned = values.reshape(original.shape[::-1]).T
        kind = original.get_data_dtype()
        stored = _rescaling(original).to_stored(turned, kind) if kind.kind != "f" else turned.astype(kind)
        made = type(original)(stored, original.affine, original.header)
        made.header.set_slope_inter(original.dataobj.slope, original.dataobj.inter)
        content: bytes = made.to_bytes()
        return gzip.compress(content, mtime=0) if self.compressed else content


def _rescaling(image: Any) -> Rescaling:
    limits = np.iinfo(image.get_data_dtype())
    return Rescaling(float(image.dataobj.slope), float(image.dataobj.inter), int(limits.min), int(limits.max))


def _rescaled(image: Any, stored: Array) -> Array:
    if stored.dtype.kind != "f":
        return _rescaling(image).to_values(stored)
    if (image.dataobj.slope, image.dataobj.inter) != (1, 0):
        raise StylekitError("It has floats with a slope or an intercept. Save it without.")
    return stored
