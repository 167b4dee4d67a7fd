"""What a user can ask of any method: how strong, whose colours, and where."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from PIL import Image
from torch import Tensor

from stylekit import images
from stylekit.color import color_stats, keep_luminance, match_color
from stylekit.errors import StylekitError, suggest

KeepColor = Literal["luminance", "histogram"]
Mask = Tensor | Image.Image | Path | str
"""Where: white is there, black is not; ``(1, 1, H, W)`` in [0, 1], a grey picture, or its file."""

STYLE_SIDE = 512
"""A style picture is made smaller until its shorter side has so many pixels, as the AdaIN paper's program does."""
STYLE_PIXELS = 2**23
"""No style picture is looked at with more: an encoder's features take a hundred times their memory and more."""


def to_float(value: Any) -> float:
    """Any real number as a float, those of NumPy and torch too; NaN for what is none."""
    try:
        return float("nan") if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return float("nan")


def check_controls(strength: float, keep_color: str | None) -> None:
    """Refuses what no method can do.

    Raises:
        StylekitError: the strength is outside [0, 1], or colours are to be kept in a way that there is not.
    """
    if not 0 <= to_float(strength) <= 1:
        raise StylekitError(f"The strength is a number from 0 (the picture as it is) to 1, and not {strength!r}.")
    ways = get_args(KeepColor)
    if keep_color is not None and keep_color not in ways:
        raise StylekitError(f"Colours are not kept by {keep_color!r}. {suggest(str(keep_color), ways)}")


def keep_color(styled: Tensor, content: Tensor, how: KeepColor | None) -> Tensor:
    """Gives the stylised picture the content's colours.

    Source: Gatys et al. 2016, "Preserving color in neural artistic style transfer".

    Args:
        styled: pictures ``(N, 3, H, W)`` in [0, 1]
        content: what they were, of the same shape
        how: ``luminance`` takes only the lightness of the stylised picture; ``histogram`` brings its colours' mean and
            covariance to the content's; none leaves it
    """
    if how is None:
        return styled
    if how == "luminance":
        return keep_luminance(styled, content)
    return match_color(styled, *color_stats(content))


def check_scale(scale: float) -> None:
    """Refuses a factor on a style picture's sides that is not above 0.

    Raises:
        StylekitError: it is not.
    """
    if not 0 < to_float(scale) < float("inf"):
        raise StylekitError(f"The style's scale is a number above 0, and not {scale!r}.")


def fit_style(image: Tensor, scale: float, what: str = "The style") -> Tensor:
    """A style picture of the size that it is described at.

    Args:
        image: ``(1, 3, H, W)``
        scale: factor on the sides; larger gives larger strokes
        what: how to call the picture in a message

    Raises:
        StylekitError: the scale is not above 0, or gives a picture of more than 8 million pixels.
    """
    check_scale(scale)
    height, width = image.shape[-2:]
    factor = to_float(scale) * min(1.0, STYLE_SIDE / min(height, width))
    if (height * factor) * (width * factor) > STYLE_PIXELS:
        raise StylekitError(
            f"{what} has {width}x{height} pixels, and with the style's scale {scale} would be looked at with more than "
            f"{STYLE_PIXELS:,}. Choose a smaller scale, or cut it."
        )
    size = max(1, round(height * factor)), max(1, round(width * factor))
    return image if size == (height, width) else images.resize(image, size)


def to_device(image: Any, device: torch.device, what: str) -> Tensor:
    """An image as it is stylised: float32, on the device.

    Raises:
        StylekitError: it is not a float tensor ``(N, 3, H, W)`` of finite values.
    """
    form = f"{what} is a float tensor (N, 3, H, W) in [0, 1]"
    if not isinstance(image, Tensor):
        raise StylekitError(f"{form} or a PIL image, not a {type(image).__name__}. PIL.Image.open opens a file.")
    if image.ndim != 4 or image.shape[1] != 3 or not image.is_floating_point() or 0 in image.shape:
        raise StylekitError(f"{form}, not {image.dtype} {tuple(image.shape)}.")
    check_finite(image, what)
    return image.to(device, torch.float32)


def check_finite(image: Tensor, what: str) -> None:
    """Refuses NaN and infinity.

    Raises:
        StylekitError: there is such a value.
    """
    if not bool(image.isfinite().all()):
        raise StylekitError(f"{what} has NaN or infinity among its values, which are to be from 0 to 1.")


def read_mask(mask: Mask) -> Tensor:
    """A mask as a float tensor ``(1, 1, H, W)`` in [0, 1]. What is transparent in it counts as white.

    Raises:
        StylekitError: it cannot be read, or is of another shape.
    """
    if isinstance(mask, Tensor):
        if mask.ndim != 4 or mask.shape[:2] != (1, 1) or not mask.is_floating_point():
            told = f"{mask.dtype} {tuple(mask.shape)}"
            raise StylekitError(f"A mask is a float tensor (1, 1, H, W) in [0, 1], and this one is {told}.")
        check_finite(mask, "The mask")
        return mask.clamp(0, 1)
    if not isinstance(mask, Image.Image | Path | str):
        raise StylekitError(
            f"A mask is a float tensor (1, 1, H, W) in [0, 1], a PIL picture or its file, and this one is a "
            f"{type(mask).__name__}."
        )
    picture = images.from_pil(mask) if isinstance(mask, Image.Image) else images.read(mask)
    return images.over_white(picture.image, picture.alpha).mean(1, keepdim=True).clamp(0, 1)


def fit_masks(masks: Sequence[Tensor], like: Tensor) -> list[Tensor]:
    """Masks beside an image ``(N, C, H, W)``: on its device, of its type.

    Raises:
        StylekitError: one is of another size.
    """
    for number, mask in enumerate(masks, 1):
        if mask.shape[2:] != like.shape[2:]:
            (height, width), (rows, columns) = mask.shape[2:], like.shape[2:]
            which = "The mask" if len(masks) == 1 else f"Mask {number}"
            raise StylekitError(
                f"{which} has {width}x{height} pixels and the picture {columns}x{rows}. Give one of the picture's size."
            )
    return [mask.to(like) for mask in masks]


def check_regions(masks: int, styles: int) -> None:
    """Refuses masks that do not go with so many styles.

    Raises:
        StylekitError: there are more masks than styles, or more than one style without a mask.
    """
    if styles not in (masks, masks + 1):
        raise StylekitError(
            f"Masks and styles do not go together: there are {masks} and {styles}. Give each mask its style, in the same "
            "order, and perhaps one style more for the rest."
        )


def regions(masks: Sequence[Tensor], styles: int) -> list[Tensor]:
    """How much of each style goes where: maps ``(1, 1, H, W)``, at each pixel together at most 1.

    Where no mask is white, one style more than masks fills the rest, and else the picture stays as it is. Where several
    are, they share.

    Raises:
        StylekitError: masks and styles do not go together.
    """
    check_regions(len(masks), styles)
    total = torch.stack(list(masks)).sum(0)
    maps = [mask / total.clamp(min=1) for mask in masks]
    return maps if styles == len(masks) else [*maps, (1 - total).clamp(min=0)]
