"""The content of an image file: pixels, and what comes with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Metadata:
    """What a file says about its image. :func:`write` carries it to the next file, as far as the format can hold it.

    Attributes:
        icc_profile: RGB colour profile to write the colours in; None: sRGB
        exif: EXIF data, without the orientation and without previews, which would show the image as it was
        xmp: XMP data, likewise
        dpi: pixels per inch, horizontally and vertically
        text: texts of a PNG file by keyword; ``Comment`` is also the comment of a JPEG or GIF file
    """

    icc_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    text: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Picture:
    """The content of an image file. Where stylekit runs without torch, the tensors are NumPy arrays.

    Attributes:
        image: colours ``(1, 3, H, W)`` in sRGB, float32 in ``[0, 1]``, upright
        alpha: alpha channel ``(1, 1, H, W)``, float32 in ``[0, 1]``; None if the file has none
        depth: bits per channel of the file, 8 or 16
        metadata: colour profile, EXIF and the like
        stored: if the file's profile is not sRGB, its colours ``(H, W, 3)`` as they are in the file, uint8 or uint16: pixels
            that do not change are written with these values, even if sRGB does not contain them
    """

    image: Tensor
    alpha: Tensor | None = None
    depth: int = 8
    metadata: Metadata = field(default_factory=Metadata)
    stored: np.ndarray[Any, np.dtype[Any]] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.image.shape[-2:]
        return height, width


def over_white(image: Tensor, alpha: Tensor | None) -> Tensor:
    """Composites the image ``(N, 3, H, W)`` over white with its alpha ``(N, 1, H, W)``; without alpha, returns it unchanged."""
    return image if alpha is None else image * alpha + (1 - alpha)


def as_mask(picture: Picture) -> Tensor:
    """A picture as a mask ``(1, 1, H, W)`` in ``[0, 1]``: the mean of its colours. Transparent pixels count as black."""
    grey = picture.image.mean(1)[:, None]
    return grey if picture.alpha is None else grey * picture.alpha


def with_profile(picture: Picture, profile: bytes | None) -> Picture:
    """The picture, to be written with a profile that may be another one than its own."""
    if picture.metadata.icc_profile == profile:
        return picture
    return replace(picture, metadata=replace(picture.metadata, icc_profile=profile), stored=None)
