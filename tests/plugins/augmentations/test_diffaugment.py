"""DiffAugment: what each kind does to images whose pixels are known."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from stylekit import StylekitError, make, testing
from stylekit_plugins.augmentations.diffaugment import DiffAugment
from tests.facts import raises


def ramp(count: int = 64, height: int = 16, width: int = 24) -> torch.Tensor:
    """Images whose pixels tell their rows and columns, and are never grey."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    image = torch.stack([2.0 + rows, 2.0 + columns, torch.full((height, width), 2.0)])
    return image.expand(count, -1, -1, -1).contiguous()


def test_translation_moves_each_image_by_up_to_an_eighth_and_fills_with_grey() -> None:
    torch.manual_seed(0)
    image = ramp()
    moved = make("augmentation", "diffaugment", kinds=["translation"])(image)
    shifts = set()
    for each in moved:
        down, right = (
            next(
                offset
                for offset in range(-4, 5)
                if float(each[channel, 8, 12]) == float(image[0, channel, 8, 12]) + offset
            )
            for channel in (0, 1)
        )
        shifts.add((down, right))
        inside = each[:, max(0, -down) : 16 - max(0, down), max(0, -right) : 24 - max(0, right)]
        assert torch.equal(inside[0] - inside[0, 0, 0], image[0, 0, : inside.shape[1], : inside.shape[2]] - 2)
        assert int((each[0] == 0.5).sum()) == 16 * 24 - inside[0].numel()
    downs, rights = ({shift[axis] for shift in shifts} for axis in (0, 1))
    assert (min(downs), max(downs), min(rights), max(rights)) == (-2, 2, -3, 3)


def test_cutout_makes_a_rectangle_of_half_the_sides_grey() -> None:
    torch.manual_seed(0)
    image = ramp(256)
    cut = make("augmentation", "diffaugment", kinds=["cutout"])(image)
    grey = (cut == 0.5).all(1)
    areas = grey.sum((1, 2))
    assert int(areas.max()) == 8 * 12  # less where it crosses the border
    assert int(areas.min()) >= 4 * 6
    assert torch.equal(cut.masked_select(~grey[:, None]), image.masked_select(~grey[:, None]))
    assert grey.any(0).all()  # it may be anywhere


def test_color_is_an_affine_map_of_each_image() -> None:
    """The paper's code adds up to 0.5 to images in [-1, 1], which is 0.25 in [0, 1]."""
    torch.manual_seed(0)
    image = torch.rand(400, 3, 6, 6, dtype=torch.float64)
    changed = make("augmentation", "diffaugment", kinds=["color"])(image)
    grey, mean = changed.mean(1), changed.mean((1, 2, 3))
    brightness = mean - image.mean((1, 2, 3))
    contrast = (grey - mean[:, None, None]).std((1, 2)) / (image.mean(1) - image.mean((1, 2, 3))[:, None, None]).std(
        (1, 2)
    )
    saturation = (
        (changed - grey[:, None]).std((1, 2, 3)) / (image - image.mean(1, keepdim=True)).std((1, 2, 3)) / contrast
    )
    for found, low, high in ((brightness, -0.25, 0.25), (contrast, 0.5, 1.5), (saturation, 0.0, 2.0)):
        assert low <= found.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < found.max() <= high + 1e-9


def test_an_unknown_kind_is_named() -> None:
    with raises(StylekitError, "kinds", "'colour'"):
        make("augmentation", "diffaugment", kinds=["colour"])


@pytest.mark.parametrize("kinds", [["color", "translation", "cutout"], ["translation"]], ids=str)
def test_conformance(kinds: list[str]) -> None:
    testing.check("augmentation", partial(DiffAugment, kinds))
