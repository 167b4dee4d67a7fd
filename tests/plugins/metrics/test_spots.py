"""Bright spots that are lost or invented, counted by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stylekit import make, testing
from stylekit_plugins.metrics.spots import InventedSpots, LostSpots, regions


def image(*spots: tuple[int, int], side: int = 3) -> Tensor:
    """An image ``(1, 3, 32, 32)`` with squares at the given rows and columns."""
    made = torch.full((1, 3, 32, 32), 0.4)
    for row, column in spots:
        made[..., row : row + side, column : column + side] = 0.95
    return made


@pytest.mark.parametrize("kind", [LostSpots, InventedSpots])
def test_conformance(kind: type) -> None:
    testing.check("metric", kind)


def test_regions_touch_at_sides_and_corners_only() -> None:
    rows = ["110001", "110010", "000100", "000000", "111110", "100000"]
    mask = torch.tensor([[[mark == "1" for mark in row] for row in rows]])
    labels = regions(mask)[0]
    assert len(labels.unique()) == 1 + 3
    assert labels[0, 0] == labels[1, 1] > 0
    assert labels[0, 5] == labels[1, 4] == labels[2, 3] > 0
    assert labels[5, 0] == labels[4, 4] > 0
    assert bool(((labels > 0) == mask[0]).all())


def test_a_long_winding_region_is_one() -> None:
    mask = torch.zeros(1, 31, 31, dtype=torch.bool)
    mask[:, ::2] = True
    mask[:, 1::4, -1] = True
    mask[:, 3::4, 0] = True
    assert len(regions(mask).unique()) == 2


def test_spots_are_counted_one_by_one() -> None:
    truth, output = image((4, 4), (4, 20), (20, 12)), image((5, 5), (20, 12), (28, 28))
    lost, invented = (make("metric", name) for name in ("lost-spots", "invented-spots"))
    torch.testing.assert_close(lost(output, truth), torch.tensor([1 / 3]))
    torch.testing.assert_close(invented(output, truth), torch.tensor([1 / 3]))
    both = lost(torch.cat([output, truth]), torch.cat([truth, truth]))
    torch.testing.assert_close(both, torch.tensor([1 / 3, 0]))


def test_without_spots_nothing_is_lost_and_specks_are_none() -> None:
    lost = make("metric", "lost-spots")
    assert float(lost(image((4, 4)), image())) == 0
    assert float(lost(image(), image((4, 4), side=1))) == 0  # one pixel
    assert float(lost(image(), image((4, 4), side=2))) == 1
    assert float(make("metric", "lost-spots", smallest=5)(image(), image((4, 4), side=2))) == 0


def test_what_is_bright_is_the_user_s_to_say() -> None:
    lost = make("metric", "lost-spots", level=0.3, against="content")
    assert lost.against == "content"
    assert float(lost(image() * 0, image())) == 1  # the whole picture is bright
    assert float(lost(image(), image((4, 4)))) == 0
