"""Metrics of edges, against numpy and on images whose edges can be counted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from stylekit import make


def images(count: int = 2, side: int = 8) -> tuple[Tensor, Tensor]:
    drawn = torch.rand(2, count, 3, side, side, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return drawn[0], drawn[1]


def test_edges_that_stay_correlate_whatever_the_colours_become() -> None:
    """Half the contrast halves all slopes; unrelated noise has other edges; a plain image has none."""
    metric = make("metric", "edge-correlation")
    output, other = images(4, 32)
    grey = output.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    assert metric(0.5 + grey / 2, grey).tolist() == pytest.approx([1] * 4, abs=1e-3)
    assert metric(1 - grey, grey).tolist() == pytest.approx([1] * 4, abs=1e-3)
    assert max(metric(other, output).abs().tolist()) < 0.2
    assert metric(torch.full_like(output, 0.5), output).tolist() == pytest.approx([0] * 4, abs=1e-3)


def test_the_correlation_of_edges_is_that_of_numpy() -> None:
    """A vertical and a horizontal edge that share a corner."""
    down, across = torch.zeros(2, 1, 3, 8, 8, dtype=torch.float64)
    down[..., 4:, :], across[..., 4:] = 1, 1
    strength = [np.zeros((8, 8)), np.zeros((8, 8))]
    strength[0][3:5, :], strength[1][:, 3:5] = 0.5, 0.5
    expected = np.corrcoef(strength[0].ravel(), strength[1].ravel())[0, 1]
    assert float(make("metric", "edge-correlation")(down, across)) == pytest.approx(expected, abs=1e-3)


def bars(*at: int) -> Tensor:
    """White bars of four pixels on black, which begin at some columns: ``(1, 3, 32, 32)``."""
    image = torch.zeros(1, 3, 32, 32)
    for start in at:
        image[..., start : start + 4] = 1
    return image


def test_edges_that_moved_little_are_neither_lost_nor_invented() -> None:
    lost, invented = make("metric", "lost-edges"), make("metric", "invented-edges")
    assert float(lost(bars(8), bars(9))) == float(invented(bars(8), bars(9))) == 0
    assert float(lost(bars(4), bars(20))) == float(invented(bars(4), bars(20))) == 1
    assert float(lost(bars(), bars(20))) == 1
    assert float(invented(bars(), bars(20))) == 0  # there is nothing to be invented
    assert float(lost(bars(4), bars(4, 20))) == pytest.approx(0.5)
    assert float(invented(bars(4, 20), bars(4))) == pytest.approx(0.5)
    assert lost.against == "truth"
    assert make("metric", "lost-edges", against="content").against == "content"
