"""The perceptual distance, against its formula."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from stylekit import StylekitError, make
from tests.facts import raises


class Colours(nn.Module):
    """The colours as features, and their sum as a second layer."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"colours": image, "sum": image.sum(1, keepdim=True) - 1}


def test_it_is_the_squared_distance_of_unit_features() -> None:
    red, green, grey = (
        torch.tensor(c).view(1, 3, 1, 1).expand(1, 3, 4, 4) for c in ([0.9, 0, 0], [0, 0.4, 0], [0.5] * 3)
    )
    metric = make("metric", "perceptual-distance", encoder=Colours, layers=("colours",))
    assert metric(red, green).item() == pytest.approx(2)
    assert metric(red, red / 2).item() == pytest.approx(0, abs=1e-6)
    assert metric(red, grey).item() == pytest.approx(2 - 2 / 3**0.5, abs=1e-6)
    half = torch.cat([red[..., :2], green[..., :2]], 3)
    assert metric(half, red).item() == pytest.approx(1)
    # The sum is negative for red and positive for grey, so their unit features are -1 and 1.
    both = make("metric", "perceptual-distance", encoder=Colours)
    assert both(red, grey).item() == pytest.approx((2 - 2 / 3**0.5 + 4) / 2, abs=1e-6)


def test_it_says_what_it_compares() -> None:
    assert make("metric", "perceptual-distance", encoder=Colours).against == "truth"
    assert make("metric", "perceptual-distance", encoder=Colours, against="content").against == "content"


def test_learned_weights_make_it_lpips(tmp_path: Path) -> None:
    """The formula of lpips: the weighted squares are summed over channels and layers, and averaged over positions."""
    output, reference = torch.rand(2, 2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    weights = {"lin0.model.1.weight": torch.tensor([0.5, 2, 1]), "lin1.model.1.weight": torch.tensor([3.0])}
    torch.save({key: each[None, :, None, None] for key, each in weights.items()}, tmp_path / "vgg.pth")
    expected = torch.zeros(2)
    for layer, head in zip(("colours", "sum"), weights.values(), strict=True):
        ours, theirs = (Colours()(image)[layer] for image in (output, reference))
        ours, theirs = (each / (each.square().sum(1, keepdim=True).sqrt() + 1e-10) for each in (ours, theirs))
        expected += ((ours - theirs).square() * head[None, :, None, None]).sum(1).mean((1, 2))
    metric = make("metric", "perceptual-distance", encoder=Colours, heads=tmp_path / "vgg.pth")
    torch.testing.assert_close(metric(output, reference), expected)
    with raises(StylekitError, "vgg.pth", "lin0", "sum"):
        make("metric", "perceptual-distance", encoder=Colours, heads=tmp_path / "vgg.pth", layers=("sum",))
