"""The measures of the stability benchmarks, on problems with known answers."""

from __future__ import annotations

import pytest
import torch

from benchmarks.stability.modes import PROBLEMS, found
from benchmarks.stability.scenes import edges, frechet, unmatched


def test_the_frechet_distance_is_that_of_normal_distributions() -> None:
    """Of N(0, 1) and N(3, 2^2) in each of two independent features: 2 (3^2 + (2 - 1)^2) = 20."""
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64) * (3 / 4) ** 0.5
    assert torch.allclose(torch.cov(corners.T), torch.eye(2, dtype=torch.float64))
    assert frechet(corners, corners) == pytest.approx(0, abs=1e-9)
    assert frechet(corners, 2 * corners + 3) == pytest.approx(20)
    assert frechet(2 * corners + 3, corners) == pytest.approx(20)


def test_edges_that_moved_little_are_neither_lost_nor_invented() -> None:
    def bar(at: int) -> torch.Tensor:
        image = torch.zeros(1, 3, 32, 32)
        image[..., at:] = 1
        return edges(image)

    assert unmatched(bar(10), bar(12)) == 0
    assert unmatched(bar(10), bar(22)) == 1
    assert unmatched(bar(10), edges(torch.zeros(1, 3, 32, 32))) == 1
    assert unmatched(edges(torch.full((1, 3, 32, 32), 0.3)), bar(10)) == 0  # there is nothing to be invented
    assert unmatched(bar(8) | bar(24), bar(8)) == pytest.approx(0.5)


def test_modes_are_found_by_samples_within_three_deviations() -> None:
    middles, deviation = PROBLEMS["grid of 25"]()
    assert (len(middles), deviation) == (25, 0.05)
    points = torch.cat([middles[:10] + torch.tensor([0.14, 0.0]), middles[10:20] + torch.tensor([0.16, 0.0])])
    assert found(points, middles, deviation) == (10, 0.5)
    ring, _ = PROBLEMS["ring of 8"]()
    torch.testing.assert_close(ring.norm(dim=1), torch.full((8,), 2.0))
