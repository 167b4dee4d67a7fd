"""Square crops of image tensors, for training."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from stylekit.datasets import SPLITS
from stylekit.errors import StylekitError
from stylekit.images.resizing import resize

Crop = float | tuple[float, float]
"""The side of resized images relative to that of their crops, or a range of it."""

LONGEST = 4
"""An image longer than this many times its shorter side is cropped before it is resized, which may need gigabytes otherwise."""


def square_crop(image: Tensor, size: int, resized: int, random: bool = True, flip: bool = False) -> Tensor:
    """Crops a square ``(C, size, size)`` from the image ``(1, C, H, W)``, without distortion.

    To crop images that belong together in the same way, such as a photo and its mask, concatenate their channels first.

    Args:
        image: the image
        size: side of the square
        resized: the image is first resized so that its shorter side has this length
        random: crop at a random position, drawn with torch's random numbers; otherwise in the centre
        flip: mirror half of the images
    """
    short = min(image.shape[-2:])
    image = _window(image, LONGEST * short, random)
    height, width = (max(resized, round(side * resized / short)) for side in image.shape[-2:])
    image = _window(resize(image, (height, width)), size, random)
    if flip and torch.rand(()) < 0.5:
        image = image.flip(-1)
    return image[0].contiguous()


class SquareCrop:
    """The :func:`square_crop` of a data set: random and mirrored in training, in the centre otherwise.

    Args:
        size: side of the square
        split: train or test
        crop: in training, side of the resized image relative to ``size``; or the smallest and the largest, of which one is
            drawn for each image, uniformly in its logarithm, so that the content has many sizes
        flip: in training, mirror half of the images

    Raises:
        StylekitError: there is no such split, ``size`` or ``crop`` is below 1, or the largest ``crop`` below the smallest.

    Attributes:
        resized: largest side of the resized image in pixels, which is all that a file needs to be decoded to
        training: whether the crops are random
    """

    def __init__(self, size: int, split: str, crop: Crop = 1.12, flip: bool = True) -> None:
        if split not in SPLITS:
            raise StylekitError(f"There is no split {split!r}. Use {' or '.join(map(repr, SPLITS))}.")
        least, most = (crop, crop) if isinstance(crop, int | float) else crop
        if size < 1 or least < 1:
            raise StylekitError(f"Images are cropped with size >= 1 and crop >= 1, not {size} and {crop}.")
        if not least <= most < math.inf:
            raise StylekitError(f"A range of crop goes from the smallest to the largest, unlike {crop}.")
        self.training = split == "train"
        self.size, self.flip = size, flip and self.training
        self.crops = (least, most) if self.training else (1.0, 1.0)
        self.resized = round(size * self.crops[1])

    def __call__(self, image: Tensor) -> Tensor:
        """Crops a square ``(C, size, size)`` from the image ``(1, C, H, W)``."""
        least, most = self.crops
        drawn = least if least == most else least * (most / least) ** float(torch.rand(()))
        return square_crop(image, self.size, round(self.size * drawn), self.training, self.flip)


def _window(image: Tensor, side: int, random: bool) -> Tensor:
    """A part of the image with sides of at most ``side``."""
    for dim in (-2, -1):
        length = min(side, image.shape[dim])
        slack = image.shape[dim] - length
        start = int(torch.randint(slack + 1, ())) if random else slack // 2
        image = image.narrow(dim, start, length)
    return image
