"""Image losses against values by hand, numpy and the formulas of their papers."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import StylekitError, make, testing
from stylekit.losses import mode_seeking, patch_nce
from stylekit_plugins.losses import contrastive, edges, features, histogram, pixels, similarity, temporal, variation
from tests.facts import raises

RANDOM = {"name": "random", "width": 8, "scales": 3}
NEED_ENCODER = {"perceptual", "gram", "patch-nce", "ccpl"}
OFFERED = [
    each
    for module in (contrastive, edges, features, histogram, pixels, similarity, temporal, variation)
    for each in module.stylekit_losses().items()
]


class Plain(nn.Module):
    """The image itself as its features."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"only": image}


def images(height: int = 12, width: int = 10, count: int = 2) -> tuple[Tensor, Tensor]:
    one, other = torch.rand(2, count, 3, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return one, other


def loss(name: str, **options: Any) -> nn.Module:
    made: nn.Module = make("loss", name, **options)
    return made


@pytest.mark.parametrize(
    ("name", "options", "of_difference"),
    [
        ("l1", {}, np.abs),
        ("l2", {}, np.square),
        ("huber", {"delta": 0.3}, lambda d: np.where(np.abs(d) < 0.3, d**2 / 2, 0.3 * (np.abs(d) - 0.15))),
        ("charbonnier", {"epsilon": 0.2}, lambda d: np.sqrt(d**2 + 0.04)),
    ],
)
def test_differences_of_pixels(name: str, options: dict[str, float], of_difference: Any) -> None:
    one, other = images()
    expected = of_difference((one - other).numpy()).mean()
    assert float(loss(name, **options)(one, other)) == pytest.approx(expected, rel=1e-12)


def test_options_that_are_not_positive_are_refused() -> None:
    for name, option in (("huber", "delta"), ("charbonnier", "epsilon")):
        with raises(StylekitError, repr(option), 0.0):
            loss(name, **{option: 0.0})
    with raises(StylekitError, "'scales'", 6):
        loss("ms-ssim", scales=6)


def test_total_variation_ignores_the_reference() -> None:
    image = torch.zeros(1, 1, 2, 3)
    image[..., 0, 1] = 2.0
    assert float(loss("total-variation")(image, image + 9)) == pytest.approx(4 / 3 + 8 / 4)
    assert float(loss("total-variation", power=1)(image, image + 9)) == pytest.approx(2 / 3 + 4 / 4)


def test_ssim_of_constant_images_is_that_of_their_means() -> None:
    """Without structure, only the first factor of equation 13 is left."""
    one, other = torch.full((1, 3, 32, 32), 0.2), torch.full((1, 3, 32, 32), 0.6)
    luminance = (2 * 0.2 * 0.6 + 0.01**2) / (0.2**2 + 0.6**2 + 0.01**2)
    assert float(loss("ssim")(one, other)) == pytest.approx(1 - luminance, abs=2e-4)


def test_the_weights_of_the_scales_add_up_to_one() -> None:
    assert sum(loss("ms-ssim", scales=3).weights) == pytest.approx(1)
    image = torch.rand(1, 3, 64, 64)
    assert float(loss("ms-ssim")(image, image)) == pytest.approx(0, abs=1e-5)


def test_without_torchmetrics_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics.functional.image", None)
    with raises(StylekitError, "torchmetrics", "pip install 'stylekit-torch[metrics]'"):
        loss("ssim")


def test_edges_of_a_ramp_are_its_slope_and_colours_do_not_matter() -> None:
    ramp = torch.arange(8.0).expand(1, 3, 6, 8) / 10
    flat, inner = torch.zeros_like(ramp), 6 / 8  # at the border, neighbours are repeated: half the slope
    expected = 0.1 * (inner + 0.5 * (1 - inner))
    assert float(loss("edges")(ramp, flat)) == pytest.approx(expected, abs=2e-4)
    grey = (ramp * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True).expand(-1, 3, -1, -1)
    assert float(loss("edges")(ramp, grey + 0.3)) == pytest.approx(0, abs=1e-6)


def test_the_distance_of_histograms_is_that_of_sorted_values() -> None:
    one, other = images()
    sorts = [np.sort(image.numpy().reshape(2, 3, -1), 2) for image in (one, other)]
    found = loss("color-histogram")(one, other)
    assert float(found) == pytest.approx(np.abs(sorts[0] - sorts[1]).mean(), rel=1e-12)
    assert float(loss("color-histogram")(one, one.flip(2))) == 0
    assert float(loss("color-histogram")(one, one.repeat(1, 1, 2, 2))) < 0.01  # the same colours in a larger image


def test_perceptual_compares_normalised_features() -> None:
    one, other = (image.float() for image in images())

    def normalised(x: Tensor) -> Tensor:
        return (x - x.mean((2, 3), keepdim=True)) / (x.var((2, 3), correction=0, keepdim=True) + 1e-3).sqrt()

    found = loss("perceptual", encoder=Plain)(one, other)
    torch.testing.assert_close(found, (normalised(one) - normalised(other)).square().mean())
    plain = loss("perceptual", encoder=Plain, normalize=False)(one, other)
    torch.testing.assert_close(plain, (one - other).square().mean())


def test_gram_is_relative_to_the_reference() -> None:
    one, other = (image.float() for image in images())
    grams = [torch.einsum("nchw,ndhw->ncd", x, x) / x[0].numel() for x in (one, other)]
    expected = ((grams[0] - grams[1]).square().sum((1, 2)) / grams[1].square().sum((1, 2))).mean()
    torch.testing.assert_close(loss("gram", encoder=Plain)(one, other), expected)


def test_patch_nce_is_a_cross_entropy_by_hand() -> None:
    query, key = (F.normalize(torch.randn(2, 5, 4, dtype=torch.float64), dim=2) for _ in range(2))
    losses = []
    for image in range(2):
        for patch in range(5):
            logits = (key[image] @ query[image, patch] / 0.2).numpy()
            losses.append(np.log(np.exp(logits).sum()) - logits[patch])
    assert float(patch_nce(query, key, 0.2)) == pytest.approx(np.mean(losses), rel=1e-10)
    same = F.normalize(torch.ones(1, 7, 3), dim=2)
    assert float(patch_nce(same, same)) == pytest.approx(np.log(7), rel=1e-5)


def test_contrastive_losses_are_small_for_equal_images_and_ignore_the_scale_of_features() -> None:
    torch.manual_seed(0)
    one, other = torch.randn(2, 1, 16, 12, 12)
    for name in ("patch-nce", "ccpl"):
        compare = loss(name, encoder=Plain, patches=16)
        assert float(compare(one, one)) < 0.3 < 1 < float(compare(one, other))
        assert float(compare(3 * one, one)) < 0.3


def test_ccpl_compares_differences_of_neighbours_so_a_constant_may_be_added() -> None:
    torch.manual_seed(0)
    image = torch.randn(1, 16, 12, 12)
    shifted = image + torch.randn(1, 16, 1, 1)
    assert float(loss("ccpl", encoder=Plain, patches=16)(shifted, image)) < 0.3


def test_mode_seeking_is_the_ratio_of_distances() -> None:
    images, others = torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 0.5)
    codes, other_codes = torch.zeros(2, 5), torch.tensor([[1.0], [3.0]]).expand(2, 5)
    torch.testing.assert_close(
        mode_seeking(images, others, codes, other_codes), torch.tensor([2.0, 6.0]), atol=1e-3, rtol=0
    )
    assert (mode_seeking(images, images, codes, other_codes) > 1e4).all()


@pytest.mark.parametrize(("name", "kind"), OFFERED, ids=[name for name, _ in OFFERED])
def test_conformance(name: str, kind: type[nn.Module]) -> None:
    testing.check("loss", partial(kind, encoder=RANDOM) if name in NEED_ENCODER else kind)
