"""JPEG: the same picture as Pillow's after writing and reading."""

from __future__ import annotations

import io

import pytest
import torch
from PIL import Image
from torch import Tensor

from stylekit import StylekitError, images, make, testing
from stylekit_plugins.degradations.jpeg import JPEG
from tests.facts import raises


def picture(height: int = 93, width: int = 130) -> Tensor:
    """A drawn scene with edges and texture, in 8 bits."""
    scene = make("dataset", "scenes", size=160)[0]["content"][None, :, :height, :width]
    return scene.mul(255).round().div(255)


def stored(image: Tensor, quality: int) -> Tensor:
    file = io.BytesIO()
    images.to_pil(image).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return images.to_tensor(Image.open(file))


@pytest.mark.parametrize("quality", [5, 30, 50, 75, 95])
def test_the_pixels_are_those_of_pillow(quality: int) -> None:
    """libjpeg computes in whole numbers, so values differ by a level here and there, and where a frequency is halfway between
    two steps of a table, by one step in a block."""
    image = picture()
    here, there = make("degradation", "jpeg", quality=quality)(image), stored(image, quality)
    difference = (here - there).abs() * 255
    assert float(difference.mean()) < 0.9
    assert float((difference <= 2.5).float().mean()) > 0.92
    lost = float((there - image).abs().mean())
    assert float((here - image).abs().mean()) == pytest.approx(lost, rel=0.015)


def test_every_image_of_a_range_gets_its_own_quality() -> None:
    torch.manual_seed(0)
    image = picture().expand(6, -1, -1, -1)
    errors = (make("degradation", "jpeg", quality=(10, 90))(image) - image).abs().mean((1, 2, 3))
    assert len({round(float(error), 6) for error in errors}) == 6


def test_a_flat_image_stays_and_a_colour_of_one_pixel_is_smeared() -> None:
    grey = torch.full((1, 3, 17, 5), 100 / 255)
    assert torch.equal(make("degradation", "jpeg", quality=90)(grey), grey)
    point = torch.zeros(1, 3, 16, 16)
    point[0, 0, 8, 8] = 1
    out = make("degradation", "jpeg", quality=100)(point)
    assert float(out[0, 0, 8, 8]) < 0.6  # colours have half the resolution


def test_a_wrong_quality_is_named() -> None:
    with raises(StylekitError, "quality", "jpeg", "0.0", "from 1 to 100"):
        make("degradation", "jpeg", quality=0)


def test_conformance() -> None:
    testing.check("degradation", JPEG)
