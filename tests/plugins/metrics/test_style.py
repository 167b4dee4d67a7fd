"""Metrics of style transfer, against their formulas in numpy or by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stylekit import make


class Shifted(nn.Module):
    """Three layers whose features can be computed by hand: the image, its double, and the image with another channel."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"same": image, "double": 2 * image, "more": torch.cat([image, 1 - image[:, :1]], 1)}


def metric(name: str, **options: Any) -> Any:
    return make("metric", name, encoder=Shifted, **options)


def images(count: int = 2, side: int = 8) -> tuple[Tensor, Tensor]:
    drawn = torch.rand(2, count, 3, side, side, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return drawn[0], drawn[1]


def test_the_content_distance_is_that_of_normalised_features() -> None:
    output, content = images()
    normalised = [
        (each - each.mean((2, 3), keepdims=True)) / each.std((2, 3), keepdims=True)
        for each in (output.numpy(), content.numpy())
    ]
    expected = ((normalised[0] - normalised[1]) ** 2).mean((1, 2, 3))
    found = metric("content-distance")(output, content)
    assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-3)  # 1e-5 is added to the variances
    assert metric("content-distance").layers == ("double",)
    torch.testing.assert_close(
        metric("content-distance")(0.5 * output + 0.1, output), torch.zeros(2).double(), atol=1e-3, rtol=0
    )


def test_the_style_distance_is_relative_to_the_style() -> None:
    output, style = images()
    errors = []
    for number in range(2):
        grams = [each[number].reshape(3, -1) @ each[number].reshape(3, -1).T for each in (output, style)]
        errors.append(float((grams[0] - grams[1]).square().sum() / grams[1].square().sum()))
    assert metric("style-distance", layers=("same", "double"))(output, style).tolist() == pytest.approx(errors)
    assert metric("style-distance")(style, style).tolist() == [0, 0]
    larger = style.repeat(1, 1, 2, 3)  # statistics do not depend on the size
    assert metric("style-distance")(larger, style).tolist() == pytest.approx([0, 0], abs=1e-12)


def test_the_style_distance_by_moments() -> None:
    output, style = images(1)
    error = [(np.asarray(each.mean((2, 3))), np.asarray(each.std((2, 3), correction=0))) for each in (output, style)]
    expected = sum(((one - other) ** 2).mean() for one, other in zip(*error, strict=True))
    found = metric("style-distance", layers=("same",), statistic="moments")(output, style)
    assert float(found) == pytest.approx(expected, rel=1e-3)


def divergence(output: Tensor, content: Tensor) -> float:
    """CFSD of one image in numpy."""
    maps = []
    for image in (output, content):
        rows = image.reshape(len(image), -1).numpy().T / len(image)
        scores = np.exp(rows @ rows.T)
        maps.append(scores / scores.sum(1, keepdims=True))
    return float((maps[0] * np.log(maps[0] / maps[1])).sum(1).mean())


def test_cfsd_is_the_divergence_of_self_similarities() -> None:
    output, content = images()
    found = metric("cfsd", layers=("same",))(output, content)
    assert found.tolist() == pytest.approx([divergence(*pair) for pair in zip(output, content, strict=True)])
    assert metric("cfsd")(content, content).tolist() == pytest.approx([0, 0], abs=1e-12)
    assert metric("cfsd").layers == ("more",)


def test_cfsd_compares_the_same_positions_of_both_and_every_time() -> None:
    output, content = images(2, 16)
    few = metric("cfsd", positions=40)
    order = torch.randperm(256, generator=torch.Generator().manual_seed(0))[:40]
    chosen = [each.flatten(2)[..., order][..., None] for each in (output, content)]
    expected = metric("cfsd", layers=("more",))(*chosen)
    torch.testing.assert_close(few(output, content), expected)
    torch.testing.assert_close(few(output, content), few(output, content))


def test_the_distance_of_colours() -> None:
    red, blue = (torch.tensor(c).view(1, 3, 1, 1).expand(1, 3, 4, 4) for c in ([1.0, 0, 0], [0, 0, 1.0]))
    histogram = make("metric", "color-histogram")
    assert histogram(red, blue).item() == 1
    assert histogram(red, red[..., :2, :1]).item() == 0
    mixed = torch.cat([red, blue], 3)
    assert histogram(mixed, red).item() == pytest.approx((1 - 0.5**0.5) ** 0.5)
    assert make("metric", "color-histogram", bins=1)(red, blue).item() == 0


def test_they_are_lower_for_equal_images_and_say_what_they_compare() -> None:
    against = {"content-distance": "content", "style-distance": "style", "cfsd": "content", "color-histogram": "style"}
    for name, expected in against.items():
        found = make("metric", name)
        assert (found.against, found.higher) == (expected, False)
