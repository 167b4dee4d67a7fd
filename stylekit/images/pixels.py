"""The pixels of PIL images as arrays and tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from stylekit.datasets.values import require_picture
from stylekit.errors import StylekitError

if TYPE_CHECKING:
    from torch import Tensor

Array = np.ndarray[Any, np.dtype[Any]]
"""Values ``(H, W)`` or ``(H, W, C)``: uint8, uint16, or float32 in ``[0, 1]``."""
LUMA = (0.299, 0.587, 0.114)
"""The shares of red, green and blue in the lightness: ITU-R BT.601, as Pillow converts colours to grey."""
TURNS = {
    2: (False, 1, -1),
    3: (False, -1, -1),
    4: (False, -1, 1),
    5: (True, 1, 1),
    6: (True, 1, -1),
    7: (True, -1, -1),
    8: (True, -1, 1),
}
"""What makes an image of each EXIF orientation upright: whether rows and columns are exchanged, and then their directions."""


def require_channels(part: Any, image: Tensor, kind: str) -> None:
    """Checks that a part accepts the channels of images ``(N, C, H, W)``, by its attribute ``channels``, if it has one.

    Args:
        part: the part
        image: the images
        kind: kind of the part, for the message

    Raises:
        StylekitError: it does not.
    """
    accepted = getattr(part, "channels", None)
    if isinstance(accepted, tuple) and image.shape[1] not in accepted:
        raise StylekitError(
            f"The {kind} {type(part).__name__} is for images of {' or '.join(map(str, accepted))} channels, not of "
            f"{image.shape[1]}. Choose another one."
        )


def colors(image: Image.Image) -> Array:
    """The colours ``(H, W, 3)`` of an image as they are stored; grey in all three channels.

    Raises:
        ValueError: its values are no picture's.
    """
    require_picture(image)
    if image.mode == "F":
        return _grey(np.nan_to_num(np.asarray(image), nan=0.0).clip(0, 1))
    if image.mode.startswith("I"):
        return _grey(np.asarray(image).astype(np.uint16))
    rgb = image.convert("RGBA" if image.has_transparency_data else "RGB")  # which transparent palettes need
    return np.array(rgb)[..., :3]


def _grey(values: Array) -> Array:
    return np.broadcast_to(values[..., None], (*values.shape, 3))


def alpha(image: Image.Image) -> Array | None:
    """The alpha channel ``(H, W)`` of an image, if it has transparency."""
    if not image.has_transparency_data:
        return None
    if image.mode.startswith("I"):
        return np.where(np.asarray(image) == image.info["transparency"], 0, 255).astype(np.uint8)
    return np.asarray(image.convert("RGBA").getchannel("A"))


def turn(orientation: int) -> tuple[bool, int, int]:
    """What makes an image of that EXIF orientation upright, as in ``TURNS``."""
    return TURNS.get(orientation, (False, 1, 1))


def upright(values: Array, orientation: int) -> Array:
    """The values of an image with that EXIF orientation, turned upright."""
    swap, rows, columns = turn(orientation)
    return (values.swapaxes(0, 1) if swap else values)[::rows, ::columns]


def to_float(values: Array) -> Tensor:
    """The tensor ``(1, C, H, W)``, float32 in ``[0, 1]``."""
    import torch

    plain = values.flags.writeable and min(values.strides) > 0  # what torch accepts
    planes = torch.from_numpy(values if plain else values.copy())
    planes = planes if values.ndim == 3 else planes[..., None]
    if values.dtype == np.uint16:
        return _first(planes.to(torch.int32)).float().div_(65535)
    return _first(planes) if values.dtype == np.float32 else _first(planes).float().div_(255)


def converter(arrays: bool) -> Callable[[Array], Any]:
    """:func:`to_array`, so that torch is not imported, or :func:`to_float`."""
    return to_array if arrays else to_float


def _first(planes: Tensor) -> Tensor:
    return planes.permute(2, 0, 1).unsqueeze(0).contiguous()


def to_array(values: Array) -> Array:
    """The same as :func:`to_float` without torch: an array ``(1, C, H, W)``."""
    planes = np.ascontiguousarray(np.atleast_3d(values).transpose(2, 0, 1)[None], np.float32)
    return planes if values.dtype == np.float32 else np.divide(planes, np.float32(np.iinfo(values.dtype).max), planes)
