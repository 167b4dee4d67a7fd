"""The product of two distances, by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stylekit import StylekitError, make
from stylekit.hookspecs import Metric
from tests.facts import raises


class Brightness(nn.Module):
    """Compares the mean brightness of outputs and contents."""

    against, higher = "content", False

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        return (output - reference).abs().mean((1, 2, 3))


class Colours(nn.Module):
    """Compares the mean colours of two sets."""

    against, higher = "real", False

    def features(self, image: Tensor) -> Tensor:
        return image.mean((2, 3))

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        return (output.mean(0) - reference.mean(0)).square().sum()


def grey(*values: float) -> Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 3, 4, 4)


def test_it_is_the_product_of_one_plus_each_distance() -> None:
    metric: Any = make("metric", "art-product", distance=Brightness, realism=Colours)
    outputs = metric.features(grey(0.5, 0.7), content=grey(0.4, 0.4))
    styles = metric.features(grey(0.9, 0.9, 0.9))
    assert outputs.shape == (2, 4)
    # The outputs are 0.1 and 0.3 from their contents, and 0.3 from the styles in each of three colours.
    assert metric(outputs, styles).item() == pytest.approx(1.2 * 1.27)


def test_by_default_it_takes_the_perceptual_distance_and_the_frechet_distance() -> None:
    metric: Any = make("metric", "art-product")
    names = [type(part).__name__ for part in (metric.distance, metric.realism)]
    assert names == ["PerceptualDistance", "Frechet"]
    assert metric.distance.against == "content"


@pytest.mark.parametrize(
    ("option", "part"), [("distance", "psnr"), ("distance", Colours), ("realism", Brightness), ("realism", "recall")]
)
def test_other_kinds_of_metrics_are_refused(option: str, part: type[Metric] | str) -> None:
    with raises(StylekitError, option, "lower"):
        make("metric", "art-product", **{option: part})
