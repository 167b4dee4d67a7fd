"""Sample grids put each image in its place."""

from __future__ import annotations

import torch

from stylekit.training.sample_grid import grid
from tests.facts import raises


def test_a_sample_grid_puts_each_image_in_its_place() -> None:
    black, red = torch.zeros(3, 4, 6), torch.tensor([2.0, -1, 0])[:, None, None].expand(3, 2, 3)
    sheet = grid([[black, red], [red]], gap=1)
    assert sheet.shape == (3, 1 + 4 + 1 + 2 + 1, 1 + 6 + 1 + 3 + 1)
    expected = torch.ones(3, 9, 12)
    expected[:, 1:5, 1:7] = 0
    expected[1:, 1:3, 8:11] = 0
    expected[1:, 6:8, 1:4] = 0
    assert torch.equal(sheet, expected)


def test_labels_of_a_sample_grid_get_their_own_space_and_do_not_change_the_images() -> None:
    image = torch.rand(3, 8, 8)
    sheet = grid([[image, image]], labels=["content", "style"])
    assert sheet.shape[1] == 20 + 4 + 8 + 4
    assert sheet.shape[2] > 3 * 4 + 2 * 8  # wider, for the labels
    assert sheet[:, :24].min() < 0.5  # letters
    assert torch.equal(sheet[:, 24:32, 4:12], image)
    with raises(ValueError, "image"):
        grid([[]])
