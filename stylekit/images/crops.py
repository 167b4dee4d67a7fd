"""Square crops of image tensors, for training."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
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
    same = (height, width) == image.shape[-2:]
    image = _window(image if same else resize(image, (height, width)), size, random)
    if flip and torch.rand(()) < 0.5:
        image = image.flip(-1)
    return image[0].contiguous()


class SquareCrop:
    """The :func:`square_crop` of a data set: random and mirrored in training, in the centre otherwise.

    Args:
        size: side of the square
        split: train or test
        crop: in training, side of the resized image relative to ``size``; or the smallest and the largest, of which one is
            drawn for each image, uniformly in its logarithm, so that the content has many sizes; or None: images are not
            resized, but those smaller than ``size`` are enlarged to it
        flip: in training, mirror half of the images
        rotate: in training, rotate each image by a random angle of at most so many degrees to either side; corners outside
            the image are filled with its reflection
        noise: in training, standard deviation of noise that is added to each image

    Raises:
        StylekitError: there is no such split, ``size`` or ``crop`` is below 1, the largest ``crop`` below the smallest, or
            another number is negative.

    Attributes:
        resized: largest side of the resized image in pixels, which is all that a file needs to be decoded to; None: images
            are not resized
        training: whether the crops are random
    """

    def __init__(
        self,
        size: int,
        split: str,
        crop: Crop | None = 1.12,
        flip: bool = True,
        rotate: float = 0.0,
        noise: float = 0.0,
    ) -> None:
        if split not in SPLITS:
            raise StylekitError(f"There is no split {split!r}. Use {' or '.join(map(repr, SPLITS))}.")
        least, most = (1.0, 1.0) if crop is None else (crop, crop) if isinstance(crop, int | float) else crop
        if size < 1 or least < 1:
            raise StylekitError(f"Images are cropped with size >= 1 and crop >= 1, not {size} and {crop}.")
        if not least <= most < math.inf:
            raise StylekitError(f"A range of crop goes from the smallest to the largest, unlike {crop}.")
        for name, value in {"rotate": rotate, "noise": noise}.items():
            if not 0 <= value < math.inf:
                raise StylekitError(f"The option {name!r} is {value}, but must be at least 0.")
        self.training = split == "train"
        self.rotate, self.noise = (rotate, noise) if self.training else (0.0, 0.0)
        self.size, self.flip = size, flip and self.training
        self.crops = (least, most) if self.training else (1.0, 1.0)
        self.resized = None if crop is None else round(size * self.crops[1])

    def __call__(self, image: Tensor) -> Tensor:
        """Crops a square ``(C, size, size)`` from the image ``(1, C, H, W)``."""
        least, most = self.crops
        drawn = least if least == most else least * (most / least) ** float(torch.rand(()))
        angle = math.radians(self.rotate) * (2 * float(torch.rand(())) - 1) if self.rotate else 0.0
        side = math.ceil(self.size * (abs(math.cos(angle)) + abs(math.sin(angle))))
        resized = max(self.size, min(image.shape[-2:])) if self.resized is None else round(self.size * drawn)
        square = square_crop(image, side, resized, self.training, self.flip)
        if self.rotate:
            square = rotated(square, self.size, angle)
        if self.noise:
            square = (square + self.noise * torch.randn_like(square)).clamp_(0, 1)
        return square


def rotated(image: Tensor, size: int, angle: float) -> Tensor:
    """The middle ``(C, size, size)`` of an image ``(C, H, W)``, rotated clockwise by an angle in radians (bilinear)."""
    height, width = image.shape[-2:]
    at = torch.arange(size, dtype=image.dtype) - (size - 1) / 2
    down, across = torch.meshgrid(at, at, indexing="ij")
    cosine, sine = math.cos(angle), math.sin(angle)
    x, y = cosine * across + sine * down, cosine * down - sine * across
    grid = torch.stack([2 * x / width, 2 * y / height], -1)[None]
    turned = F.grid_sample(image[None], grid, padding_mode="reflection", align_corners=False)
    return turned[0]


def _window(image: Tensor, side: int, random: bool) -> Tensor:
    """A part of the image with sides of at most ``side``."""
    for dim in (-2, -1):
        length = min(side, image.shape[dim])
        slack = image.shape[dim] - length
        start = int(torch.randint(slack + 1, ())) if random else slack // 2
        image = image.narrow(dim, start, length)
    return image
