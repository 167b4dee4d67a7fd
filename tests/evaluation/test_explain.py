"""What happens inside a model, against networks whose answers are known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import Adversary, Method, StylekitError, make
from stylekit.evaluation.drawing import channels, framed, heat
from stylekit.evaluation.explain import (
    attention_maps,
    content_map,
    feature_maps,
    score_maps,
    sensitivity_map,
    style_map,
)
from stylekit.inference.loading import load
from stylekit.inference.model import Model
from tests.facts import raises

SMALL = {"name": "random", "width": 8, "scales": 3}


class Box(Method):
    """The mean over 3 x 3 pixels, 5 pixels further right: each output pixel depends on nine pixels to its left."""

    def __init__(self) -> None:
        super().__init__()
        self.box = nn.Conv2d(1, 1, 3, bias=False)
        nn.init.constant_(self.box.weight, 1 / 9)
        self.adversary = Adversary({"name": "patch", "layers": 1, "width": 4})

    def stylize(self, content: Tensor, style: Any = None) -> Tensor:
        padded = F.pad(content, (6, 1, 1, 1))[..., : content.shape[-1] + 2]
        return self.box(padded.flatten(0, 1)[:, None])[:, 0].unflatten(0, content.shape[:2]).clamp(0, 1)


class Mirror(Method):
    """Each position attends to the one that lies opposite, as its key equals the query."""

    def stylize(self, content: Tensor, style: Any = None) -> Tensor:
        places = torch.eye(content.shape[2] * content.shape[3])[None, None]
        values = content.flatten(2).mT[:, None]
        mirrored = F.scaled_dot_product_attention(50 * places, places.flip(2), values, scale=1.0)
        return mirrored[:, 0].mT.unflatten(2, content.shape[2:]).clamp(0, 1)


def image(height: int = 24, width: int = 32) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1


def test_the_sensitivity_of_a_box_filter_is_the_number_of_windows_over_a_pixel() -> None:
    """The region of 4 x 2 output pixels at (10, 6) sees 6 x 4 pixels at (4, 5)."""
    found = sensitivity_map(Model(Box(), "box"), image(), None, (10, 6, 4, 2))
    expected = torch.zeros(24, 32)
    for row in range(6, 8):
        for column in range(10, 14):
            expected[row - 1 : row + 2, column - 6 : column - 3] += 3 / 9  # in each of three colours
    torch.testing.assert_close(found, expected)


def test_an_optimisation_has_no_sensitivity() -> None:
    with raises(StylekitError, "gatys"):
        sensitivity_map(load("gatys", "cpu", encoder=SMALL, steps=1), image(), None, (0, 0, 4, 4))


def test_attention_is_found_wherever_a_method_computes_it() -> None:
    """The region at the top left attends to the bottom right."""
    [weights] = attention_maps(Model(Mirror(), "mirror"), image(6, 8), None, (0, 0, 2, 1))
    expected = torch.zeros(6, 8)
    expected[5, 6:] = 0.5
    torch.testing.assert_close(weights, expected, atol=1e-4, rtol=0)


def test_features_are_those_of_the_modules() -> None:
    model = load("color-pca", "cpu")
    assert feature_maps(model, image(), model.style(image())) == {}
    box = Model(Box(), "box")
    found = feature_maps(box, image())
    assert list(found) == ["box"]
    torch.testing.assert_close(found["box"][0], box.stylize(image())[0, 0])
    with raises(StylekitError, "bux", "box"):
        feature_maps(box, image(), layers=["bux"])
    with raises(StylekitError, "adversary"):
        feature_maps(box, image(), layers=["adversary"])


def test_the_map_of_content_is_the_metric_before_its_mean() -> None:
    output, content = image(32, 32), image(32, 32).flip(3)
    metric = make("metric", "content-distance", encoder=SMALL)
    found = content_map(output, content, SMALL)
    assert found.ndim == 2
    assert float(found.mean()) == pytest.approx(float(metric(output, content)), rel=1e-5)
    assert content_map(content, content, SMALL).max() == 0


def test_the_map_of_style_is_zero_where_the_style_is() -> None:
    """The left half has the style's regular stripes, the right half is plain."""
    stripes = (torch.arange(64) % 8 < 4).float().expand(1, 3, 64, 64) * 0.8 + 0.1
    output = stripes.clone()
    output[..., 32:] = 0.5
    found = style_map(output, stripes, SMALL)
    middle = found.shape[1] // 2
    assert found[:, : middle // 2].mean() < 0.1 * found[:, -middle // 2 :].mean()


def test_discriminators_show_their_scores() -> None:
    box = Box().eval()
    found = score_maps(box, image())
    assert list(found) == ["adversary"]
    scores = box.adversary.discriminator(image())
    assert isinstance(scores, Tensor)
    torch.testing.assert_close(found["adversary"], scores[0, 0].detach())


def test_drawings_show_what_they_should() -> None:
    values = torch.zeros(4, 4)
    values[0, 0] = 1
    drawn = heat(values, torch.zeros(1, 3, 16, 16))
    assert drawn.shape == (3, 16, 16)
    assert drawn[:, 0, 0].sum() > 1 > drawn[:, 15, 15].sum()
    marked = framed(torch.zeros(3, 8, 8), (2, 3, 4, 2))
    assert marked[0].nonzero().tolist() == [[row, column] for row in (3, 4) for column in range(2, 6)]
    features = torch.rand(20, 5, 6)
    features[7] = 0
    assert channels(features).shape == (3, 4 * 7, 4 * 8)
