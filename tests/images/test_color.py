"""Colour statistics and the maps between them, against other formulas for the same quantities in NumPy and float64."""

from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from stylekit import images
from stylekit.images.color import color_stats, from_lab, keep_luminance, match_color, to_lab

Array = npt.NDArray[np.float64]


def soft(*shape: int, seed: int = 0, spread: float = 0.05) -> Tensor:
    """Images in float64 around middle grey, with correlated colours; no map in these tests moves them out of [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.eye(3) + 0.6 * torch.randn(3, 3, generator=generator)
    noise = torch.randn(*shape, generator=generator).clamp(-2, 2)
    middle = 0.4 + 0.2 * torch.rand(1, 3, 1, 1, generator=generator)
    return (middle + spread * torch.einsum("ij,njhw->nihw", mixing, noise)).clamp(0, 1).double()


def pixels(image: Tensor) -> Array:
    """The colours of an image, one column per pixel."""
    return image[0].flatten(1).double().numpy()


def covariance(image: Tensor) -> Array:
    return np.cov(pixels(image), bias=True)


def svd_root(matrix: Array) -> Array:
    """The symmetric root by singular values; the module computes it in another way."""
    u, values, _ = np.linalg.svd(matrix)
    return u @ np.diag(np.sqrt(values)) @ u.T


def test_the_statistics_are_those_of_numpy() -> None:
    images = soft(3, 3, 20, 31)
    mean, root = color_stats(images)
    for index in range(3):
        colours = pixels(images[index : index + 1])
        assert np.allclose(mean[index], colours.mean(1), atol=1e-12)
        assert np.allclose(root[index] @ root[index], np.cov(colours, bias=True), atol=1e-12)
        assert np.allclose(root[index], svd_root(np.cov(colours, bias=True)), atol=1e-10)


def test_the_statistics_of_an_image_computed_by_hand() -> None:
    """Half black and half red: a standard deviation of 0.5 in red and of 0 in the other channels."""
    image = torch.zeros(1, 3, 2, 2)
    image[:, 0, 0] = 1
    mean, root = color_stats(image)
    assert torch.allclose(mean, torch.tensor([[0.5, 0, 0]]))
    assert torch.allclose(root, torch.diag(torch.tensor([0.5, 0, 0]))[None], atol=1e-6)


def test_a_matched_image_has_the_mean_and_covariance_of_the_other() -> None:
    image, other = soft(1, 3, 24, 24), soft(1, 3, 17, 40, seed=1)
    matched = match_color(image, *color_stats(other))
    assert 0 < matched.min() < matched.max() < 1  # no value was clamped
    assert np.allclose(pixels(matched).mean(1), pixels(other).mean(1), atol=1e-12)
    assert np.allclose(covariance(matched), covariance(other), atol=1e-12)


def test_the_map_equals_the_monge_kantorovich_map() -> None:
    """With A = cov, B = the other's: T = B (B A)^(-1/2), the root by the eigenvectors of a matrix without symmetry
    (Olkin and Pukelsheim 1982)."""
    image, other = soft(1, 3, 24, 24), soft(1, 3, 24, 24, seed=1)
    a, b = covariance(image), covariance(other)
    values, vectors = np.linalg.eig(b @ a)
    root = (vectors * np.sqrt(values)) @ np.linalg.inv(vectors)
    expected = np.linalg.inv(root) @ b
    assert np.allclose(expected, expected.T, atol=1e-10)
    assert np.linalg.eigvalsh(expected).min() > 0
    matched = match_color(image, *color_stats(other))
    middle = pixels(image).mean(1, keepdims=True)
    by_hand = expected @ (pixels(image) - middle) + pixels(other).mean(1, keepdims=True)
    assert np.allclose(pixels(matched), by_hand, atol=1e-10)


def test_no_other_linear_map_to_the_same_statistics_moves_the_colours_less() -> None:
    """Every such map is R Q C^-1 with a rotation or reflection Q; that of Gatys et al. is Q = 1."""
    image, other = soft(1, 3, 24, 24), soft(1, 3, 24, 24, seed=1)
    own, wanted = svd_root(covariance(image)), svd_root(covariance(other))
    centred = pixels(image) - pixels(image).mean(1, keepdims=True)
    moved = pixels(match_color(image, *color_stats(other)))
    least = np.square(moved - moved.mean(1, keepdims=True) - centred).sum()
    rng = np.random.default_rng(0)
    turns = [np.eye(3), *(np.linalg.qr(np.eye(3) + share * rng.normal(size=(3, 3)))[0] for share in (0.1, 1) * 30)]
    for turn in turns:
        turn = turn * np.sign(np.diag(turn))  # qr may give reflections near the identity
        distance = np.square(wanted @ turn @ np.linalg.inv(own) @ centred - centred).sum()
        assert distance >= least - 1e-9


def test_an_image_matched_to_itself_does_not_change() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 19, 23, generator=generator)
    assert torch.allclose(match_color(image, *color_stats(image)), image, atol=1e-5)


def test_matching_back_restores_the_image() -> None:
    image, other = soft(1, 3, 24, 24), soft(1, 3, 24, 24, seed=1)
    matched = match_color(image, *color_stats(other))
    assert torch.allclose(match_color(matched, *color_stats(image)), image, atol=1e-10)


def test_strength_interpolates_linearly_between_the_image_and_the_matched_one() -> None:
    image, other = soft(1, 3, 16, 16), color_stats(soft(1, 3, 16, 16, seed=1))
    whole = match_color(image, *other)
    assert torch.equal(match_color(image, *other, strength=0), image)
    assert torch.allclose(match_color(image, *other, strength=0.25), 0.75 * image + 0.25 * whole, atol=1e-12)


def test_rows_are_matched_to_their_own_statistics_or_all_to_the_same() -> None:
    three, others = soft(3, 3, 12, 15), soft(3, 3, 9, 8, seed=1)
    mean, root = color_stats(others)
    batch, to_one = match_color(three, mean, root), match_color(three, mean[1:2], root[1:2])
    for index in range(3):
        alone = three[index : index + 1]
        row = slice(index, index + 1)
        assert torch.allclose(batch[row], match_color(alone, mean[row], root[row]), atol=1e-12)
        assert torch.allclose(to_one[row], match_color(alone, mean[1:2], root[1:2]), atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (1, 3, 1, 9), (2, 3, 8, 8)])
@pytest.mark.parametrize("shade", [0.0, 0.3, 1.0])
def test_a_single_colour_becomes_the_mean(shape: tuple[int, ...], shade: float) -> None:
    flat = torch.full(shape, shade)
    mean, root = color_stats(flat)
    assert torch.allclose(mean, torch.full((shape[0], 3), shade))
    assert torch.allclose(root, torch.zeros(shape[0], 3, 3), atol=1e-6)
    other = soft(1, 3, 16, 16).float()
    matched = match_color(flat, *color_stats(other))
    assert torch.allclose(matched, other.mean((2, 3), keepdim=True).expand(shape), atol=1e-4)
    onto_flat = match_color(other.expand(shape[0], -1, -1, -1), mean, root)
    assert torch.allclose(onto_flat, torch.full_like(onto_flat, shade), atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_grey_image_gets_the_colours_that_correlate_with_brightness(dtype: torch.dtype) -> None:
    """Its colours lie on a line, which is mapped to the other's regression on brightness: ``B u / sqrt(u B u)``."""
    generator = torch.Generator().manual_seed(0)
    grey = (0.2 + 0.6 * torch.rand(1, 1, 32, 32, generator=generator, dtype=torch.float64)).to(dtype)
    other = soft(1, 3, 32, 32, seed=1).to(dtype)
    matched = pixels(match_color(grey.expand(-1, 3, -1, -1), *color_stats(other)))
    b, axis = covariance(other), np.full(3, 1 / np.sqrt(3))
    along = (pixels(grey)[0] - pixels(grey).mean()) / pixels(grey).std()
    expected = np.outer(b @ axis / np.sqrt(axis @ b @ axis), along) + pixels(other).mean(1, keepdims=True)
    assert np.abs(matched - expected).max() < 0.02 * np.ptp(expected)


def test_noise_below_one_8_bit_level_is_not_amplified() -> None:
    """A grey JPEG has a trace of colour, which must not become as strong as the colours of a painting."""
    generator = torch.Generator().manual_seed(0)
    grey = torch.rand(1, 1, 32, 32, generator=generator) * 0.5 + 0.25
    trace = grey + 0.0005 * torch.randn(1, 3, 32, 32, generator=generator)
    other = color_stats(torch.rand(1, 3, 32, 32, generator=generator))
    apart = match_color(trace, *other) - match_color(grey.expand(-1, 3, -1, -1), *other)
    assert apart.std() < 0.2 * 0.289  # of a uniform image's deviation; without a floor the ratio is about 1


def test_float32_agrees_with_float64() -> None:
    generator = torch.Generator().manual_seed(0)
    image, other = (torch.rand(2, 3, 200, 300, generator=generator, dtype=torch.float64) for _ in range(2))
    single = match_color(image.float(), *color_stats(other.float()))
    assert single.dtype == torch.float32
    assert (single - match_color(image, *color_stats(other))).abs().max() < 1e-4


def test_half_precision_is_computed_in_float32() -> None:
    image, other = soft(1, 3, 16, 16).half(), soft(1, 3, 16, 16, seed=1).half()
    mean, root = color_stats(other)
    assert mean.dtype == root.dtype == torch.float32
    matched = match_color(image, mean, root)
    assert matched.dtype == torch.float16
    assert (matched.float() - match_color(image.float(), mean, root)).abs().max() < 1e-3


def test_autocast_does_not_change_the_precision() -> None:
    image, other = soft(1, 3, 16, 16).float(), soft(1, 3, 16, 16, seed=1).float()
    expected = match_color(image, *color_stats(other))
    with torch.autocast("cpu", torch.bfloat16):
        assert (match_color(image, *color_stats(other)) - expected).abs().max() < 1e-5


def test_values_outside_the_range_are_clamped() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 16, 16, generator=generator)
    matched = match_color(image, torch.full((1, 3), 0.9), 0.6 * torch.eye(3)[None])
    assert matched.min() == 0
    assert matched.max() == 1


def test_both_functions_can_be_exported() -> None:
    class Both(torch.nn.Module):
        def forward(self, image: Tensor, other: Tensor) -> Tensor:
            return keep_luminance(match_color(image, *color_stats(other)), image)

    image, other = soft(1, 3, 16, 16).float(), soft(1, 3, 16, 16, seed=1).float()
    exported = torch.export.export(Both(), (image, other)).module()
    assert torch.allclose(exported(image, other), Both()(image, other), atol=1e-5)


def test_luminance_agrees_with_the_yiq_of_the_standard_library() -> None:
    stylized, content = soft(1, 3, 4, 5), soft(1, 3, 4, 5, seed=1)
    kept = keep_luminance(stylized, content)
    for one, other, found in zip(pixels(stylized).T, pixels(content).T, pixels(kept).T, strict=True):
        y, _, _ = colorsys.rgb_to_yiq(*one)
        _, i, q = colorsys.rgb_to_yiq(*other)
        # the library's constants are rounded to two digits
        assert colorsys.rgb_to_yiq(*found) == pytest.approx((y, i, q), abs=2e-3)


def test_luminance_agrees_with_the_ntsc_matrix() -> None:
    """Rows of FCC 1953: Y, I and Q of red, green and blue."""
    matrix = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
    stylized, content = soft(1, 3, 8, 9), soft(1, 3, 8, 9, seed=1)
    yiq = matrix @ pixels(content)
    yiq[0] = (matrix @ pixels(stylized))[0]
    assert np.allclose(pixels(keep_luminance(stylized, content)), np.linalg.inv(matrix) @ yiq, atol=2e-4)


def test_only_luminance_changes_and_values_stay_in_range() -> None:
    generator = torch.Generator().manual_seed(0)
    content = torch.rand(2, 3, 6, 7, generator=generator)
    assert torch.allclose(keep_luminance(content, content), content)
    assert torch.equal(keep_luminance(torch.ones_like(content), content).amax(1), torch.ones(2, 6, 7))
    kept = keep_luminance(torch.rand(2, 3, 6, 7, generator=generator), content)
    assert 0 <= kept.min() <= kept.max() <= 1


def test_real_images_get_each_others_colours(pictures: Path) -> None:
    """A photo gets much closer to each painting's statistics, although bright colours are clamped."""
    photo = images.read(pictures / "content/sailboat.jpg", least=200).image
    for name in ("la_muse.jpg", "mondrian.jpg", "sketch.png"):
        mean, root = color_stats(images.read(pictures / "style" / name, least=200).image)
        before, after = color_stats(photo), color_stats(match_color(photo, mean, root))
        for one, found, wanted in zip(before, after, (mean, root), strict=True):
            assert (found - wanted).norm() < 0.3 * (one - wanted).norm()


def test_lab_of_the_primaries() -> None:
    """The values that Lindbloom's calculator gives for sRGB and D65, without chromatic adaptation."""
    colors = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0]], dtype=torch.float64)
    wanted = [[53.24, 80.09, 67.20], [87.73, -86.18, 83.18], [32.30, 79.19, -107.86], [100, 0, 0], [0, 0, 0]]
    found = to_lab(colors[..., None, None])[..., 0, 0]
    np.testing.assert_allclose(found.numpy(), wanted, atol=0.01)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_lab_and_back(dtype: torch.dtype) -> None:
    image = torch.rand(2, 3, 20, 30, generator=torch.Generator().manual_seed(0)).to(dtype)
    image[0, :, :4] *= 0.01  # where both curves are linear
    back = from_lab(to_lab(image))
    assert back.dtype == dtype
    torch.testing.assert_close(back, image, rtol=0, atol=2e-5)


def test_colours_outside_of_srgb_are_mixed_with_the_grey_of_their_luminance() -> None:
    """In linear light, on the line from that grey to the colour, as far as the channels allow."""
    lab = torch.tensor([[60.0, 150, 20], [20, -90, 60], [95, 20, -60], [100, 40, 0], [0, 30, 30]], dtype=torch.float64)
    found = linear_light(from_lab(lab[..., None, None])[..., 0, 0].numpy())
    weights = np.array([0.2126729, 0.7151522, 0.0721750])
    for (light, a, b), color in zip(lab.numpy(), found, strict=True):
        fy = (light + 16) / 116
        y = fy**3 if fy > 6 / 29 else 3 * (6 / 29) ** 2 * (fy - 4 / 29)
        np.testing.assert_allclose(color @ weights, y, atol=1e-6)
        assert color.min() == pytest.approx(0, abs=1e-9) or color.max() == pytest.approx(1, abs=1e-9)
        xyz = np.array([fy + a / 500, fy, fy - b / 200])
        xyz = np.where(xyz > 6 / 29, xyz**3, 3 * (6 / 29) ** 2 * (xyz - 4 / 29)) * [0.95047, 1, 1.08883]
        wanted = np.linalg.solve(MATRIX, xyz) - y
        if np.abs(color - y).max() > 1e-6:
            np.testing.assert_allclose(
                (color - y) / np.linalg.norm(color - y), wanted / np.linalg.norm(wanted), atol=1e-4
            )


MATRIX = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def linear_light(rgb: Array) -> Array:
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def test_gradients_of_lab_are_finite() -> None:
    image = torch.tensor([0.0, 1.0, 0.5]).repeat(3, 1).view(1, 3, 1, 3).requires_grad_()
    from_lab(to_lab(image) * torch.tensor([1.0, 3.0, 3.0]).view(1, 3, 1, 1)).sum().backward()
    assert image.grad is not None
    assert image.grad.isfinite().all()
