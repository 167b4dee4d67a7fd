"""any-style: its algebra against eigendecompositions in float64, its losses by hand, and training."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stylekit import StylekitError, images, testing
from stylekit.ops import instance_norm
from stylekit_plugins.datasets.scenes import render
from stylekit_plugins.datasets.textures import draw
from stylekit_plugins.methods.any_style import AnyStyle, cosine
from stylekit_plugins.methods.any_style.network import STEP, Painter, even, match, match_centred, mean_and_root, roots
from tests.facts import raises

TINY: dict[str, Any] = dict(AnyStyle.presets["tiny"])


def covariances(condition: float, channels: int = 8, count: int = 3) -> Tensor:
    """Symmetric matrices with eigenvalues from 1 to 1 / condition."""
    generator = torch.Generator().manual_seed(0)
    axes, _ = torch.linalg.qr(torch.randn(count, channels, channels, generator=generator, dtype=torch.float64))
    values = torch.logspace(0, -torch.tensor(condition).log10().item(), channels, dtype=torch.float64)
    return (axes * values) @ axes.mT


@pytest.mark.parametrize("condition", [1.0, 100.0, 10_000.0])
def test_roots_are_those_of_an_eigendecomposition(condition: float) -> None:
    matrix = covariances(condition)
    values, axes = torch.linalg.eigh(matrix)
    root, inverse = roots(matrix)
    torch.testing.assert_close(root, (axes * values.sqrt()[:, None]) @ axes.mT, rtol=1e-4, atol=1e-5)
    wanted = (axes * values.rsqrt()[:, None]) @ axes.mT
    assert (inverse - wanted).abs().max() < 1e-3 * wanted.abs().max()


def test_roots_have_a_gradient_for_equal_eigenvalues() -> None:
    matrix = torch.eye(4, dtype=torch.float64)[None].requires_grad_(True)
    assert torch.autograd.gradcheck(lambda m: roots((m + m.mT) / 2), matrix)


def test_a_match_has_the_mean_and_the_covariance_of_the_style() -> None:
    generator = torch.Generator().manual_seed(1)
    x, y = (torch.randn(2, 6, 20, 30, generator=generator, dtype=torch.float64) for _ in range(2))
    y = torch.einsum("ij,njhw->nihw", torch.randn(6, 6, generator=generator, dtype=torch.float64), y) + 3
    matched = match(x, *mean_and_root(y, 0.0), 0.0)
    for one, other in zip(mean_and_root(matched, 0.0), mean_and_root(y, 0.0), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    itself = match(x, *mean_and_root(x, 0.0), 0.0)
    torch.testing.assert_close(itself, x, rtol=1e-6, atol=1e-6)


def test_painted_images_have_the_colours_of_the_style() -> None:
    torch.manual_seed(0)
    method = AnyStyle(**TINY).eval()
    content, style = render(2, size=64)[None], draw("leaves", 64, 3)[None]
    with torch.inference_mode():
        painted = method.painter(content, method.describe(style))
    for one, other in zip(mean_and_root(painted, STEP), mean_and_root(style, STEP), strict=True):
        assert (one - other).abs().max() < 2e-3


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_flat_and_grey_images_are_finite(value: float) -> None:
    torch.manual_seed(0)
    method = AnyStyle(**TINY).eval()
    flat, scene = torch.full((1, 3, 40, 33), value), render(1, size=48)[None]
    grey = scene.mean(1, keepdim=True).expand_as(scene)
    for content, style in ((flat, scene), (scene, flat), (grey, scene), (scene, grey), (flat, flat)):
        for strength in (0.0, 0.5, 1.0):
            with torch.inference_mode():
                image = method.transfer(content, method.describe(style), strength)
            assert image.shape == content.shape
            assert image.isfinite().all()


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (17, 31)])
def test_any_size_keeps_its_shape(size: tuple[int, int]) -> None:
    method = AnyStyle(**TINY).eval()
    image = torch.rand(1, 3, *size)
    with torch.inference_mode():
        assert method.transfer(image, method.describe(image)).shape == image.shape


def test_strength_mixes_the_descriptions_of_content_and_style() -> None:
    torch.manual_seed(0)
    method = AnyStyle(**TINY).eval()
    content, style = render(2, size=32)[None], draw("cells", 32, 3)[None]
    with torch.inference_mode():
        own, other = method.describe(content), method.describe(style)
        half = {name: (own[name] + other[name]) / 2 for name in own}
        torch.testing.assert_close(method.transfer(content, other, 0.5), method.transfer(content, half))
        torch.testing.assert_close(method.transfer(content, other, 0.0), method.transfer(content, own))


def test_a_style_that_is_its_own_content_is_described_and_painted_alike() -> None:
    """Matching features with their own statistics leaves them unchanged, so both passes see the same features."""
    torch.manual_seed(0)
    painter, image, seen = Painter(16, 2, 2).eval(), render(3, size=64)[None], {}

    def record(name: str, x: Tensor) -> Tensor:
        seen[name] = x
        return x

    def compare(name: str, x: Tensor) -> Tensor:
        normed = instance_norm(x, eps=1e-5)
        matched = match_centred(normed, described[f"{name}.mean"], described[f"{name}.root"], 0.01)
        torch.testing.assert_close(matched, seen[name], rtol=1e-3, atol=2e-3)
        return matched

    with torch.inference_mode():
        described = painter.describe(image)
        painter._features(image, image, record)
        painter._features(image, image, compare)
    assert list(seen) == ["down", "deep0", "deep1", "block0", "block1", "up"]


@pytest.mark.parametrize("size", [(64, 64), (45, 70)])
def test_an_image_in_its_own_style_stays_as_it_is(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    method, image = AnyStyle(**TINY).eval(), images.resize(render(3, size=80)[None], size)
    with torch.inference_mode():
        assert (method.transfer(image, method.describe(image)) - image).abs().max() < 0.5 / 255


def test_a_pattern_of_two_pixels_becomes_a_constant() -> None:
    """Kernels of 2 x 2 pixels after a mean of 2 x 2 have this property already, so they stay as they are."""
    torch.manual_seed(0)
    kernels, pattern = torch.randn(5, 4, 3, 3), torch.randn(1, 4, 2, 2).tile(1, 1, 4, 4)
    out = F.conv2d(pattern, even(kernels))
    torch.testing.assert_close(out, out[..., :1, :1].expand_as(out))
    assert F.conv2d(pattern, kernels).std((2, 3)).min() > 0.1
    smooth = F.conv2d(torch.randn(3, 1, 2, 2), torch.ones(1, 1, 2, 2), padding=1)
    torch.testing.assert_close(even(smooth), smooth)


def test_an_image_of_one_colour_gets_the_mean_colour_of_the_style() -> None:
    torch.manual_seed(0)
    method, style = AnyStyle(**TINY).eval(), draw("cells", 64, 3)[None]
    with torch.inference_mode():
        painted = method.transfer(torch.full((1, 3, 70, 61), 0.4), method.describe(style))
    assert (painted - style.mean((2, 3), keepdim=True)).abs().max() < 0.5 / 255


def test_the_default_networks_have_at_most_a_million_and_a_half_parameters() -> None:
    count = sum(p.numel() for p in AnyStyle().painter.parameters())
    assert 1_000_000 < count <= 1_500_000


def test_the_style_error_is_relative_to_the_style() -> None:
    """For one layer of one channel, all statistics by hand: Gram 5 and 8; means 2 and 2; standard deviations 1 and 2."""
    method = AnyStyle(**TINY, moments=0.5)
    mine = {"a": torch.tensor([1.0, 3.0]).view(1, 1, 1, 2)}
    theirs = {"a": torch.tensor([0.0, 4.0]).view(1, 1, 1, 2)}
    error = float(method._style_error(mine, theirs))
    assert error == pytest.approx((3 / 8) ** 2 + 0.5 * (0 + (1 / 2) ** 2), rel=1e-4)


def test_crops_of_a_single_colour_have_finite_gradients() -> None:
    torch.manual_seed(0)
    method = AnyStyle(**{**TINY, "width": 32, "deep": 3, "blocks": 4}, identity=0.0)
    method.prepare()
    batch = {"content": torch.zeros(2, 3, 64, 64), "style": torch.stack([draw("cells", 64, 3), draw("leaves", 64, 1)])}
    batch["content"][1] = 0.7
    torch.stack(list(method.paint(batch, method(batch)).values())).sum().backward()
    largest = max(float(p.grad.abs().max()) for p in method.painter.parameters() if p.grad is not None)
    assert largest < 1e3


def test_the_learning_rate_rises_and_falls() -> None:
    assert cosine(0.0) == pytest.approx(0.01)
    assert cosine(0.01) == pytest.approx(1.0, rel=0.01)
    assert cosine(0.5) == pytest.approx(0.525)
    assert cosine(1.0) == pytest.approx(0.05)


def test_conformance() -> None:
    testing.check("method", partial(AnyStyle, **TINY))


def test_a_missing_layer_is_named() -> None:
    method = AnyStyle(**{**TINY, "content_layers": {"relu9_1": 1.0}})
    method.prepare()
    with raises(StylekitError, "'relu9_1'", "scale1"):
        method.paint({}, method.forward({"content": torch.rand(1, 3, 32, 32), "style": torch.rand(1, 3, 32, 32)}))
