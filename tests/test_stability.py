"""The measures of the stability benchmarks, on problems with known answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.stability import digits
from benchmarks.stability.modes import PROBLEMS, found


def test_modes_are_found_by_samples_within_three_deviations() -> None:
    middles, deviation = PROBLEMS["grid of 25"]()
    assert (len(middles), deviation) == (25, 0.05)
    points = torch.cat([middles[:10] + torch.tensor([0.14, 0.0]), middles[10:20] + torch.tensor([0.16, 0.0])])
    assert found(points, middles, deviation) == (10, 0.5)
    ring, _ = PROBLEMS["ring of 8"]()
    torch.testing.assert_close(ring.norm(dim=1), torch.full((8,), 2.0))


class Reader(digits.Classifier):
    """Reads a class from the top left pixel instead."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot((images[:, 0, 0, 0] * 255).round().long(), 10)


def written(*classes: int) -> torch.Tensor:
    """An image ``(1, 3, 32, 32)`` whose channels are of these classes."""
    image = torch.zeros(1, 3, 32, 32)
    image[0, :, 0, 0] = torch.tensor(classes) / 255
    return image


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two digits of each class but 9, of which there are 82."""
    labels = np.concatenate([np.repeat(np.arange(9), 2), np.full(82, 9)]).astype(np.uint8)
    np.savez(tmp_path / "digits.npz", x=np.full((100, 28, 28), 255, np.uint8), y=labels)
    monkeypatch.setenv(digits.FILE, str(tmp_path / "digits.npz"))


@pytest.mark.usefixtures("known")
def test_stacked_digits_are_counted_as_numbers_up_to_999() -> None:
    images = torch.cat([written(1, 2, 3), written(1, 2, 3), written(3, 2, 1), written(9, 9, 9)])
    figures = digits.judge("stacked", images, torch.zeros(4), Reader())
    # Of the sum of p log(p / q): two modes with q = 0.02^3, and 999 with q = 0.82^3.
    expected = 0.5 * np.log(0.5 / 0.02**3) + 0.25 * np.log(0.25 / 0.02**3) + 0.25 * np.log(0.25 / 0.82**3)
    assert figures == {"modes": 3, "divergence": pytest.approx(expected, rel=1e-6)}


@pytest.mark.usefixtures("known")
def test_classes_are_counted_and_compared_with_those_asked_for() -> None:
    images = torch.cat([written(each, each, each) for each in (0, 0, 1, 2)])
    figures = digits.judge("conditional", images, torch.tensor([0, 1, 1, 2]), Reader())
    assert figures == {"rarest": 0, "commonest": 0.5, "accuracy": 0.75}


@pytest.mark.usefixtures("known")
def test_digits_are_padded_to_32_pixels() -> None:
    item = digits.Digits()[99]
    assert (item["image"].shape, int(item["label"])) == ((3, 32, 32), 9)
    assert float(item["image"].sum()) == 3 * 28 * 28
    assert float(item["image"][:, 2:30, 2:30].min()) == 1


def test_the_divergence_of_equal_shares_is_zero() -> None:
    counts = torch.tensor([3.0, 1.0, 0.0])
    assert digits.divergence(counts, 2 * counts) == 0
    assert digits.divergence(torch.tensor([4.0, 0.0, 0.0]), counts) == pytest.approx(np.log(4 / 3))
