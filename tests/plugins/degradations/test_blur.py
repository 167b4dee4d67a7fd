"""Blur: kernels by their formulas, and what they do to a point, a flat image and a batch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from stylekit import StylekitError, make, testing
from stylekit_plugins.degradations import blur
from stylekit_plugins.degradations.blur import Blur, Kind
from tests.facts import raises

ALL: tuple[Kind, ...] = ("isotropic", "anisotropic", "generalized", "plateau", "motion", "defocus", "sinc")
AT = np.arange(21) - 10


def covariance(kernel: torch.Tensor) -> np.ndarray:
    """The second moments of a kernel about its middle."""
    down, across = np.meshgrid(AT, AT, indexing="ij")
    points = np.stack([down.ravel(), across.ravel()])
    return (points * kernel.numpy().ravel()) @ points.T


@pytest.mark.parametrize("kind", ALL)
def test_every_kernel_has_the_sum_1_and_is_the_same_upside_down(kind: Kind) -> None:
    torch.manual_seed(0)
    for _ in range(5):
        kernel = Blur((kind,)).kernel()
        assert float(kernel.sum()) == pytest.approx(1, abs=1e-12)
        torch.testing.assert_close(kernel, kernel.flip(0, 1))


def test_the_isotropic_kernel_is_the_product_of_two_normal_curves() -> None:
    curve = np.exp(-(AT**2) / (2 * 1.5**2))
    expected = np.outer(curve, curve) / curve.sum() ** 2
    np.testing.assert_allclose(Blur(("isotropic",), sigma=1.5).kernel().numpy(), expected, atol=1e-12)


def test_the_axes_of_an_anisotropic_kernel_have_the_drawn_deviations(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter((2.5, 1.2))
    monkeypatch.setattr(blur, "number", lambda choice: next(drawn))
    torch.manual_seed(3)
    kernel = Blur(("anisotropic",)).kernel()
    np.testing.assert_allclose(np.linalg.eigvalsh(covariance(kernel)), [1.2**2, 2.5**2], rtol=0.01)
    assert abs(covariance(kernel)[0, 1]) > 0.1  # it is turned


@pytest.mark.parametrize(("kind", "formula"), [("generalized", lambda q: np.exp(-(q**0.7) / 2)),
                                               ("plateau", lambda q: 1 / (1 + q**0.7))])  # fmt: skip
def test_the_other_kernels_of_the_paper(monkeypatch: pytest.MonkeyPatch, kind: Kind, formula: object) -> None:
    monkeypatch.setattr(blur, "number", lambda choice: 0.7 if choice == blur.BETA[kind] else 2.0)
    monkeypatch.setattr(torch, "rand", lambda shape: torch.zeros(shape))
    expected = formula((AT[:, None] ** 2 + AT**2) / 4)  # type: ignore[operator]
    np.testing.assert_allclose(Blur((kind,)).kernel().numpy(), expected / expected.sum(), atol=1e-12)


def test_a_disk_is_flat_inside_and_soft_at_its_edge() -> None:
    kernel = Blur(("defocus",), radius=1).kernel()
    side, corner = 0.5, 1.5 - math.sqrt(2)  # the shares of pixels at distances of 1 and 1.41
    rows = np.array([[corner, side, corner], [side, 1, side], [corner, side, corner]])
    np.testing.assert_allclose(kernel[9:12, 9:12].numpy(), rows / rows.sum(), atol=1e-12)
    assert int((kernel > 0).sum()) == 9


def test_a_motion_to_the_right_is_a_row_of_equal_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "rand", lambda shape: torch.zeros(shape))
    kernel = Blur(("motion",), length=5).kernel()
    assert kernel[10].tolist() == pytest.approx([0] * 8 + [0.2] * 5 + [0] * 8)
    assert float(kernel[10].sum()) == pytest.approx(1)


def test_motions_have_every_direction_and_their_length() -> None:
    torch.manual_seed(0)
    angles = []
    for _ in range(30):
        values, axes = np.linalg.eigh(covariance(Blur(("motion",), length=11).kernel()))
        assert values[1] == pytest.approx((11**2 - 1) / 12, rel=0.1)
        assert values[0] < 0.5
        angles.append(math.degrees(math.atan2(*axes[:, 1])) % 180)
    assert min(angles) < 30
    assert max(angles) > 150


def test_the_sinc_filter_has_the_values_of_its_integral(monkeypatch: pytest.MonkeyPatch) -> None:
    """J1(x) is the mean of cos(t - x sin t) over t from 0 to pi."""
    cutoff = 2.0
    monkeypatch.setattr(blur, "number", lambda choice: cutoff)
    t = (np.arange(2000) + 0.5) / 2000 * np.pi
    away = np.hypot(AT[:, None], AT)
    bessel = np.cos(t - cutoff * away[..., None] * np.sin(t)).mean(-1)
    expected = np.where(away > 0, bessel / np.maximum(away, 1e-9), cutoff / 2)
    np.testing.assert_allclose(Blur(("sinc",)).kernel().numpy(), expected / expected.sum(), atol=1e-7)


def test_a_point_becomes_the_kernel_of_its_image_and_a_flat_image_stays() -> None:
    point = torch.zeros(1, 3, 41, 41, dtype=torch.float64)
    point[..., 20, 20] = 1
    part = Blur(("anisotropic",))
    torch.manual_seed(5)
    out = part(point)
    torch.manual_seed(5)
    kernel = part.kernel()
    for channel in out[0]:
        torch.testing.assert_close(channel[10:31, 10:31], kernel.flip(0, 1), atol=1e-12, rtol=0)
    grey = torch.full((2, 3, 5, 9), 0.4)
    torch.testing.assert_close(part(grey), grey)


def test_each_image_has_a_kernel_of_its_own_and_of_the_kinds_with_a_weight() -> None:
    torch.manual_seed(0)
    out = Blur()(torch.rand(1, 3, 32, 32).expand(4, -1, -1, -1))
    assert len({float(each.std()) for each in out}) == 4
    weighted = Blur({"defocus": 1.0, "motion": 0.0}, radius=1)
    assert all(int((weighted.kernel() > 0).sum()) == 9 for _ in range(10))


def test_wrong_options_are_named() -> None:
    with raises(StylekitError, "blur", "kinds"):
        make("degradation", "blur", kinds=[])
    with raises(StylekitError, "length", "30", "from 1 to 20"):
        make("degradation", "blur", length=30)
    with raises(StylekitError, "kinds"):
        make("degradation", "blur", kinds=["round"])


def test_conformance() -> None:
    testing.check("degradation", Blur)
