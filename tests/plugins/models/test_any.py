"""stylekit-any: artefacts that its weights must not have."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import stylekit
from benchmarks.halo import RADIUS, blurred_styles, disc, halo, radius, rings
from stylekit import images
from stylekit.inference import Model
from stylekit_plugins.datasets.scenes import render
from stylekit_plugins.datasets.textures import draw

LEVEL = 1 / 255
STYLES = ("blocks", "cells", "clouds", "leaves", "strokes", "stripes")


@pytest.fixture(scope="module")
def model() -> Model:
    return stylekit.load("stylekit-any", device="cpu")


def style(kind: str) -> Tensor:
    return draw(kind, 256, 1)[None]


def scene() -> Tensor:
    return render(6, size=256)[None]


def test_an_image_in_its_own_style_hardly_changes(model: Model) -> None:
    for image in (scene(), *map(style, STYLES)):
        assert (model.stylize(image, image) - image).abs().mean() < LEVEL


def test_photos_and_paintings_in_their_own_style_hardly_change(model: Model, pictures: Path) -> None:
    for name in ("content/cornell.jpg", "style/mondrian.jpg"):
        image = images.resize(images.read(pictures / name).image, (200, 256))
        assert (model.stylize(image, image) - image).abs().mean() < LEVEL


@pytest.mark.parametrize("kind", STYLES)
def test_half_the_strength_lies_between(model: Model, kind: str) -> None:
    image = scene()
    half, full = (model.stylize(image, style(kind), strength=strength) for strength in (0.5, 1.0))
    moved, left, whole = ((a - b).abs().mean() for a, b in ((half, image), (full, half), (full, image)))
    assert 0.3 * whole < moved < 0.75 * whole
    assert 0.3 * whole < left < 0.75 * whole


@pytest.mark.parametrize("kind", STYLES)
def test_the_border_does_not_stand_out(model: Model, kind: str) -> None:
    """A row at the border differs no more from its neighbour than twice what is usual in the image."""
    out = model.stylize(scene(), style(kind))
    for lines in (out, out.mT):
        steps = lines.diff(dim=2).square().mean((0, 1, 3)).sqrt()
        assert max(steps[0], steps[-1]) < 2 * steps[1:-1].median()


@pytest.mark.parametrize("kind", STYLES)
def test_flat_areas_have_no_grid(model: Model, kind: str) -> None:
    """No wave of 2, 4, 8 or 16 pixels, the steps at which the network enlarges, has an amplitude of two levels."""
    image = render(6, size=512)[None]
    image[..., :320, :320] = 0.5
    flat = model.stylize(image, style(kind))[0, :, 64:256, 64:256]
    window = torch.hann_window(192)[:, None] * torch.hann_window(192)
    waves = 2 * torch.fft.rfft2((flat - flat.mean((1, 2), keepdim=True)) * window).abs() / window.sum()
    for period in (2, 4, 8, 16):
        at = 192 // period
        assert max(waves[:, at, 0].max(), waves[:, 0, at].max()) < 2 * LEVEL, period


def test_the_halo_of_a_ring_is_its_difference_from_the_background() -> None:
    """Rings of two pixels: outside 20 levels lighter than the white, inside 12 levels darker than the black."""
    distance, image = radius(), 0.2 + 0.6 * disc()
    outside, inside = ((distance >= start) & (distance < start + 2) for start in (RADIUS + 5, RADIUS - 5))
    assert halo(image) == pytest.approx(0, abs=0.01)
    assert halo(image + 20 * LEVEL * outside) == pytest.approx(20, abs=0.01)
    assert halo(image - 12 * LEVEL * inside) == pytest.approx(12, abs=0.01)


@pytest.mark.parametrize("kind", sorted({*STYLES} - {"blocks"}))  # see docs/weights.md for that one
def test_a_style_without_edges_leaves_no_halo(model: Model, kind: str) -> None:
    """(Styles with edges are painted with contours, which is what they are for.)"""
    out = model.stylize(disc(), blurred_styles()[kind])
    mean = rings(out)
    assert mean[RADIUS + 25 :].mean() - mean[: RADIUS - 20].mean() > 2 * LEVEL  # the disc is seen
    assert halo(out) < 8
