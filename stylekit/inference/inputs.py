"""Reads and checks the images that a caller passes: tensors, arrays, PIL images or paths."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from stylekit import images
from stylekit.datasets.values import ROUNDING
from stylekit.errors import StylekitError, counted
from stylekit.images import Picture, Raster
from stylekit.images.picture import as_mask
from stylekit.images.raster_formats import NO_PALETTE

ImageSource = Tensor | Image.Image | NDArray[Any] | Path | str
"""A float tensor ``(N, 3, H, W)`` in [0, 1], a PIL image, the path of an image file, or a NumPy array ``(H, W)``,
``(H, W, 3)`` or ``(H, W, 4)``: uint8, uint16, or floats in [0, 1]."""

LEVELS = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}
TENSOR_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
FLOATS = {np.dtype(name) for name in ("float16", "float32", "float64")}


def check_tensor(image: Any, what: str, channels: int = 3, single: bool = False) -> Tensor:
    """Checks a tensor that is to be an image, and returns it, clamped to [0, 1].

    Args:
        image: the tensor
        what: what to call it in messages
        channels: the number of channels that it must have
        single: whether it must be a single image

    Raises:
        StylekitError: it is not a float tensor ``(N, channels, H, W)`` with data, or has values outside [0, 1] by more than
            1/255.
    """
    form = f"{what} must be a float tensor ({1 if single else 'N'}, {channels}, H, W) in [0, 1]"
    if not isinstance(image, Tensor):
        raise StylekitError(f"{form}, not {type(image).__name__}.")
    if image.is_nested or image.layout != torch.strided or image.is_meta:
        kind = "nested" if image.is_nested else "meta" if image.is_meta else str(image.layout).replace("torch.", "")
        raise StylekitError(f"{form}, not a {kind} tensor. Convert it to a dense tensor with data first.")
    fits = image.ndim == 4 and image.shape[1] == channels and image.numel() > 0 and (len(image) == 1 or not single)
    if not fits or image.dtype not in TENSOR_TYPES:
        raise StylekitError(f"{form}, not {image.dtype} {tuple(image.shape)}.{_shape_hint(image, channels)}")
    low, high = (float(value) for value in image.detach().aminmax())
    if not -ROUNDING <= low <= high <= 1 + ROUNDING:  # also true for NaN
        raise StylekitError(_range_fault(what, low, high))
    return image if low >= 0 and high <= 1 else image.clamp(0, 1)


def _shape_hint(image: Tensor, channels: int) -> str:
    if image.dtype == torch.uint8:
        return " Divide it by 255."
    if image.ndim == 3 and image.shape[0] == channels:
        return " Add a dimension: image[None]."
    if image.ndim == 3 and image.shape[2] == channels:
        return " Reorder it: image.permute(2, 0, 1)[None]."
    return ""


def _range_fault(what: str, low: float, high: float) -> str:
    if not abs(low) + abs(high) < float("inf"):
        return f"{what} contains NaN or infinity, but all values must be from 0 to 1."
    if low >= -ROUNDING and high <= 255:
        fix = "Divide it by 255." if high > 2 else "Clamp it: image.clamp(0, 1)."
    elif low >= -ROUNDING:
        fix = "Divide it by its largest possible value."
    elif low >= -1 - ROUNDING and high <= 1 + ROUNDING:
        fix = "If it is scaled from -1 to 1, use (image + 1) / 2; otherwise clamp it."
    else:
        fix = "Undo its normalisation, or clamp it."
    return f"{what} has values from {low:.6g} to {high:.6g}, but all must be from 0 to 1. {fix}"


def open_picture(image: Any, what: str) -> tuple[Picture, Callable[[Picture], Any]]:
    """Reads a PIL image, an array or a path, and returns a function that converts a result to the same kind.

    The result is an array of the same dtype for an array, ``(H, W, 4)`` if it has alpha and ``(H, W, 3)`` otherwise, and a PIL
    image for a PIL image or a path.

    Raises:
        StylekitError: it is something else, or cannot be read.
    """
    if isinstance(image, np.ndarray):
        return _from_array(image, what), partial(_to_array, dtype=image.dtype)
    if isinstance(image, Image.Image):
        return images.from_pil(image), images.to_pil
    if isinstance(image, str | Path):
        return images.read(image), images.to_pil
    raise StylekitError(
        f"{what} must be a path, a PIL image, a NumPy array (H, W, 3) or a float tensor (N, 3, H, W) in [0, 1], not "
        f"{type(image).__name__}."
    )


def open_raster(image: Any, channels: int) -> tuple[Raster, Callable[[Raster], Any]]:
    """Reads the values of an array, a PIL image or a file, and returns a function that converts a result to the same kind.

    The result is an array of the same dimensions for an array, a PIL image for a PIL image, and a raster for a file.

    Args:
        image: an array ``(H, W)``, ``(H, W, C)`` or ``(P, H, W, C)``, a PIL image, or the path of a file
        channels: the number of channels that it must have

    Raises:
        StylekitError: it is something else, or cannot be read, or has other channels.
    """
    if isinstance(image, str | Path):
        return images.read_raster(image, channels), lambda raster: raster
    what = "An image to stylise"
    if not isinstance(image, np.ndarray | Image.Image) or isinstance(image, np.ma.MaskedArray):
        raise StylekitError(
            f"{what} must be a path, a NumPy array, a PIL image or a float tensor (N, {channels}, H, W) in [0, 1], not "
            f"{type(image).__name__}."
        )
    if isinstance(image, Image.Image) and image.mode in ("P", "PA"):
        raise StylekitError(f"{what} {NO_PALETTE}")
    values = np.asarray(image)
    if values.ndim not in (2, 3, 4) or not values.size or values.dtype.kind not in "uif":
        raise StylekitError(
            f"{what} must have numbers (H, W), (H, W, C) or (P, H, W, C), not {values.dtype} {values.shape}."
        )
    dimensions = values.ndim
    full = values if dimensions == 4 else values[None] if dimensions == 3 else values[None, ..., None]
    if full.shape[-1] != channels:
        raise StylekitError(
            f"{what} has {counted(full.shape[-1], 'channel')}, but the model is for {channels}. Select or "
            "convert them first."
        )

    def as_given(raster: Raster) -> Any:
        made = raster.values
        if dimensions < 4:
            made = made[0, ..., 0] if dimensions == 2 and made.shape[-1] == 1 else made[0]
        return Image.fromarray(made) if isinstance(image, Image.Image) else made

    return Raster(full.astype(full.dtype.newbyteorder("="), copy=False)), as_given


def read_image(image: Any, what: str, channels: int = 3) -> Tensor:
    """Reads one image ``(1, channels, H, W)`` in [0, 1]. Transparent pixels become white, but black in a mask.

    Args:
        image: an :data:`ImageSource`
        what: what to call it in messages
        channels: 3; 4 for an image whose alpha channel is kept; or 1 for a mask: the mean of the colours, or a boolean array
            or tensor

    Raises:
        StylekitError: it is not an image, cannot be read, or is several; or with 4 channels, it has no alpha channel.
    """
    if channels == 1 and isinstance(image, np.ndarray | Tensor) and image.dtype in (np.bool_, torch.bool):
        image = image.astype(np.float32) if isinstance(image, np.ndarray) else image.float()
    if not isinstance(image, Tensor):
        picture, _ = open_picture(image, what)
        if channels == 3:
            return check_tensor(images.over_white(picture.image, picture.alpha), what)
        if channels == 4:
            if picture.alpha is None:
                raise StylekitError(
                    f"{what} must be a picture with transparency, but has no alpha channel. Save it as a PNG file with one."
                )
            return check_tensor(torch.cat([picture.image, picture.alpha], 1), what, channels)
        return check_tensor(as_mask(picture), what, channels)
    return check_tensor(image, what, channels, single=True)


def _from_array(array: NDArray[Any], what: str) -> Picture:
    if isinstance(array, np.ma.MaskedArray):
        raise StylekitError(f"{what} is a masked array, which has no colours where it is masked. Pass array.filled(0).")
    array = np.asarray(array)  # of np.matrix, too, which would keep two dimensions
    native = array.dtype.newbyteorder("=")
    if native not in LEVELS and native not in FLOATS:
        raise StylekitError(f"{what} must be an array of uint8, uint16 or floats in [0, 1], not {array.dtype}.")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)) or not array.size:
        raise StylekitError(f"{what} must be an array (H, W), (H, W, 3) or (H, W, 4), not {array.shape}.")
    values = array.astype(np.float32) / LEVELS[native] if native in LEVELS else array.astype(native)
    planes = torch.from_numpy(np.ascontiguousarray(np.atleast_3d(values).transpose(2, 0, 1)))[None]
    if planes.shape[1] == 1:
        planes = planes.expand(1, 3, -1, -1)
    checked = check_tensor(planes, what, planes.shape[1])
    return Picture(checked[:, :3], checked[:, 3:] if checked.shape[1] == 4 else None)


def _to_array(picture: Picture, dtype: np.dtype[Any]) -> NDArray[Any]:
    planes = [picture.image] if picture.alpha is None else [picture.image, picture.alpha.to(picture.image)]
    values = torch.cat(planes, 1)[0].permute(1, 2, 0).cpu().double().numpy()
    if levels := LEVELS.get(dtype.newbyteorder("=")):
        values = np.floor(values * levels + 0.5)
    return values.astype(dtype)
