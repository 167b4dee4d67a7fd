"""The metrics of ``judge.py``, by the names of its columns; lower is better.

content         the metric content-distance of a VGG-19 that was trained on ImageNet: 0 for an unchanged image
style           the metric style-distance of that VGG-19
content_random  the squared error of the features at relu3_1 and relu4_1 of a random VGG-19 after an instance norm, relative to
                the content's, for grey images with normalised mean and contrast; about 2 for unrelated images
style_random    the metric style-distance at relu1_1 to relu4_1 of the random VGG-19
texture         the same for covariances, because Gram matrices of random filters depend mainly on the mean colour
clipped         the share of pixels with a channel at its minimum or maximum
blotches        fine noise that was added in flat areas of the content, in 8-bit levels
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import make
from stylekit.encoders import encode, frozen_encoder
from stylekit.losses import LUMA
from stylekit.ops import gram_matrix, instance_norm

TRAINED = {"name": "vgg19", "layers": ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"]}
RANDOM = {"name": "vgg19", "weights": "random"}
RANDOM_CONTENT_LAYERS = ("relu3_1", "relu4_1")
FLAT = 0.2
"""The share of the content's pixels, the flattest ones, in which blotches are measured."""


def content() -> Any:
    return make("metric", "content-distance", encoder=TRAINED)


def style() -> Any:
    return make("metric", "style-distance", encoder=TRAINED)


def style_random() -> Any:
    return make("metric", "style-distance", encoder=RANDOM)


class Mark(nn.Module, ABC):
    """A metric against the content, of single images."""

    against = "content"
    higher = False

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        return torch.tensor([self.mark(output, reference)])

    @abstractmethod
    def mark(self, output: Tensor, reference: Tensor) -> float:
        """The value of one image."""


class content_random(Mark):  # the name of the column
    def __init__(self) -> None:
        super().__init__()
        self.encoder = frozen_encoder(RANDOM)

    def mark(self, output: Tensor, reference: Tensor) -> float:
        ours, theirs = (
            encode(self.encoder, lightness(image), RANDOM_CONTENT_LAYERS, half=False) for image in (output, reference)
        )
        return distance(*([instance_norm(each) for each in features.values()] for features in (ours, theirs)))


class texture(Mark):
    against = "style"

    def __init__(self) -> None:
        super().__init__()
        self.encoder = frozen_encoder(RANDOM)

    def mark(self, output: Tensor, reference: Tensor) -> float:
        ours, theirs = (encode(self.encoder, image, half=False).values() for image in (output, reference))
        return distance(
            *([gram_matrix(each - each.mean((2, 3), keepdim=True)) for each in side] for side in (ours, theirs))
        )


class clipped(Mark):
    def mark(self, output: Tensor, reference: Tensor) -> float:
        """The share of pixels with a channel that is 0 or 255 in an 8-bit file."""
        levels = (output * 255).round()
        return float(((levels <= 0) | (levels >= 255)).any(1).float().mean())


class blotches(Mark):
    def mark(self, output: Tensor, reference: Tensor) -> float:
        """The root mean square of fine noise that was added in flat areas of the content, in 8-bit levels.

        Fine noise is the difference from a mean over 5 x 5 pixels. The flat areas are a fixed share of the content's pixels,
        those with the least fine noise around them, so all contents have equally many. Strokes of the style also count.
        """
        before, after = _fine_noise(reference), _fine_noise(output)
        local = F.avg_pool2d(before, 9, 1, 4, count_include_pad=False)
        flattest = local.flatten().argsort(stable=True)[: max(1, int(FLAT * local.numel()))]
        added = after.flatten()[flattest].mean() - before.flatten()[flattest].mean()
        return 255 * float(added.clamp(min=0).sqrt())


MARKS = (content, style, content_random, style_random, texture, clipped, blotches)


def lightness(image: Tensor) -> Tensor:
    """The image in grey, with a fixed mean and contrast: its content, regardless of its colours.

    Without this, a darker image would be far away, because the ReLUs of random filters cut off other values.
    """
    luma = (image * image.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    return (0.5 + 0.2 * instance_norm(luma)).expand_as(image)


def distance(mine: list[Tensor], theirs: list[Tensor]) -> float:
    """The squared error relative to the squared norm of ``theirs``, averaged over layers."""
    errors = [(a - b).square().sum() / b.square().sum().clamp(min=1e-12) for a, b in zip(mine, theirs, strict=True)]
    return float(torch.stack(errors).mean())


def _fine_noise(image: Tensor) -> Tensor:
    """The squared fine noise of an image, averaged over the colours: ``(1, 1, H, W)``."""
    blurred = F.avg_pool2d(F.pad(image, (2, 2, 2, 2), mode="replicate"), 5, 1)
    return (image - blurred).square().mean(1, keepdim=True)
