"""Controls that work with any method: strength, colours, scale of the style, and masks.

What computes with images accepts NumPy arrays instead of tensors, too, and imports torch only for tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count, repeat
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from stylekit import images
from stylekit.errors import StylekitError, counted, suggest

if TYPE_CHECKING:
    from torch import Tensor

    from stylekit.inference.inputs import ImageSource

KeepColor = Literal["luminance", "histogram"]
Mask: TypeAlias = "ImageSource"
"""Where to stylise: fully where white, not where black; a tensor ``(1, 1, H, W)`` in [0, 1], an image, or its file."""

BLEND_BELOW = 0.2
"""Below this strength, the content is blended in; the lower the strength, the more."""
STYLE_SIDE = 512
"""Maximum shorter side of a style image, in pixels; larger images are scaled down, as in the AdaIN paper's program."""
STYLE_PIXELS = 2**23
"""Maximum number of pixels of a style image: an encoder's features need at least a hundred times its memory."""


def several_or_none(given: Any) -> list[Any]:
    """One value, several values or None, as a list."""
    if given is None:
        return []
    return list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]


def to_float(value: Any) -> float:
    """Converts a real number, including those of NumPy and torch, to a float; NaN for anything else."""
    try:
        return float("nan") if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return float("nan")


def check_controls(strength: float, keep_color: str | None) -> None:
    """Checks the strength and how to keep colours.

    Raises:
        StylekitError: the strength is outside [0, 1], or ``keep_color`` is unknown.
    """
    if not 0 <= to_float(strength) <= 1:
        raise StylekitError(f"The strength must be a number from 0 (the unchanged image) to 1, not {strength!r}.")
    modes = get_args(KeepColor)
    if keep_color is not None and not (isinstance(keep_color, str) and keep_color in modes):
        raise StylekitError(f"Unknown keep_color {keep_color!r}. {suggest(str(keep_color), modes)}")


def keep_color(styled: Tensor, content: Tensor, how: KeepColor | None) -> Tensor:
    """Transfers the colours of the content to the stylised image.

    Source: Gatys et al. 2016, "Preserving color in neural artistic style transfer".

    Args:
        styled: stylised images ``(N, 3, H, W)`` in [0, 1]
        content: the original images, of the same shape
        how: ``luminance`` uses only the lightness of the stylised image; ``histogram`` matches the mean and covariance of
            its colours to those of the content; None does not change it
    """
    if how is None:
        return styled
    from stylekit.images.color import color_stats, keep_luminance, match_color

    if how == "luminance":
        return keep_luminance(styled, content)
    return match_color(styled, *color_stats(content))


def total_weight(weights: Sequence[float], what: str = "styles") -> float:
    """The sum of the weights of styles, or of something else.

    Raises:
        StylekitError: a weight is negative or not finite, or all are zero.
    """
    one = what.removesuffix("s")
    for weight in weights:
        if not 0 <= weight < float("inf"):
            raise StylekitError(f"The weight of a {one} must be a finite number of at least 0, not {weight}.")
    if not sum(weights):
        raise StylekitError(f"The weights of the {what} sum to zero. Give at least one {one} a weight above 0.")
    return sum(weights)


def check_seed(seed: int) -> None:
    """Checks that a seed is an integer.

    Raises:
        StylekitError: it is something else.
    """
    if not isinstance(seed, Integral):
        raise StylekitError(f"The seed must be an integer, not {seed!r}.")


def check_scale(scale: float) -> None:
    """Checks that the factor on the sides of a style image is above 0.

    Raises:
        StylekitError: it is not a finite number above 0.
    """
    if not 0 < to_float(scale) < float("inf"):
        raise StylekitError(f"The style scale must be a number above 0, not {scale!r}.")


def fit_style(image: Tensor, scale: float, what: str = "The style") -> Tensor:
    """Resizes a style image to the size at which it is described.

    Args:
        image: ``(1, 3, H, W)``
        scale: factor on the sides; a larger factor results in larger strokes
        what: what to call the image in messages

    Raises:
        StylekitError: the scale is not above 0, or results in an image of more than 2**23 (8 million) pixels.
    """
    check_scale(scale)
    height, width = image.shape[-2:]
    factor = to_float(scale) * min(1.0, STYLE_SIDE / min(height, width))
    if (height * factor) * (width * factor) > STYLE_PIXELS:
        raise StylekitError(
            f"{what} has {width}x{height} pixels; with the style scale {scale}, it would have more than {STYLE_PIXELS:,}. "
            "Choose a smaller scale, or crop the image."
        )
    size = images.scaled((height, width), factor)
    return image if size == (height, width) else images.resize(image, size)


def read_mask(mask: Mask) -> Tensor:
    """Reads a mask as a float tensor ``(1, 1, H, W)`` in [0, 1]. Transparent pixels count as black.

    Raises:
        StylekitError: it cannot be read, or has another shape.
    """
    from stylekit.inference.inputs import read_image

    return read_image(mask, "A mask", channels=1)


def frame_masks(masks: Any, read: Callable[[Any], Any] = read_mask) -> Iterator[list[Any]]:
    """The masks of each frame of a clip, in order, without an end.

    Args:
        masks: one, or one for each region: a mask for all frames, or an iterator of one for each
        read: reads a mask

    Raises:
        StylekitError: an iterator ends, or a mask cannot be read.
    """
    given = several_or_none(masks)
    regions = [map(read, each) if isinstance(each, Iterator) else repeat(read(each)) for each in given]
    for number in count():
        now = [next(each, None) for each in regions]
        if any(each is None for each in now):
            raise StylekitError(
                f"The masks end after {counted(number, 'frame')}, but the clip has more. Give one for each frame."
            )
        yield now


def fit_masks(masks: Sequence[Tensor], like: Tensor) -> list[Tensor]:
    """Scales masks to the size of an image ``(N, C, H, W)``, bilinear and antialiased, and moves them to its
    device and dtype."""
    from torch.nn import functional

    size = like.shape[2:]
    return [
        mask.to(like) if mask.shape[2:] == size
        else functional.interpolate(mask.to(like), size, mode="bilinear", antialias=True)
        for mask in masks
    ]  # fmt: skip


def check_regions(masks: int, styles: int) -> None:
    """Checks that there are as many styles as masks, or one more.

    Raises:
        StylekitError: there are more masks than styles, or more than one style without a mask.
    """
    if styles not in (masks, masks + 1):
        raise StylekitError(
            f"The numbers of masks ({masks}) and styles ({styles}) do not match. Give one style per mask, in the same "
            "order; one extra style may fill the uncovered area."
        )


def regions(masks: Sequence[Tensor], styles: int) -> list[Tensor]:
    """The weight of each style at each pixel: maps ``(1, 1, H, W)``, whose sum is at most 1.

    An extra style fills the area that no mask covers; without one, the image does not change there. Where the sum of the
    masks is above 1, they are divided by it.

    Raises:
        StylekitError: the numbers of masks and styles do not match.
    """
    check_regions(len(masks), styles)
    total: Tensor = sum(masks[1:], masks[0])
    maps = [mask / total.clip(min=1) for mask in masks]
    return maps if styles == len(masks) else [*maps, (1 - total).clip(min=0)]
