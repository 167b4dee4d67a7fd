"""The colouriser that ships: it colours, keeps the lightness, and listens to hints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import stylekit
from stylekit import images
from stylekit.datasets import find_images
from stylekit.images.color import to_lab
from stylekit.inference import Model
from stylekit_plugins.datasets.scenes import render


@pytest.fixture(scope="module")
def model() -> Model:
    return stylekit.load("stylekit-restore-colorize", device="cpu")


def chroma(image: Tensor) -> Tensor:
    """The distance from grey of each pixel."""
    return to_lab(image)[:, 1:].square().sum(1).sqrt()


def distance(one: Tensor, other: Tensor) -> float:
    """The root of the mean squared distance of pixels in a and b."""
    return float((one - other)[:, 1:].square().sum(1).mean().sqrt())


def test_photographs_get_about_as_much_colour_as_they_had(model: Model, pictures: Path) -> None:
    """And colours that are closer to the true ones than grey is."""
    found, true, errors = [], [], []
    for path in find_images(pictures / "open" / "contents" / "holdout"):
        photo = images.read_over_white(path)
        photo = images.resize(photo, images.scaled((photo.shape[2], photo.shape[3]), 128 / min(photo.shape[2:])))
        coloured = model.stylize(photo)
        assert float((to_lab(coloured)[:, 0] - to_lab(photo)[:, 0]).abs().mean()) < 1
        found.append(float(chroma(coloured).mean()))
        true.append(float(chroma(photo).mean()))
        errors.append(
            [distance(to_lab(each), to_lab(photo)) for each in (coloured, photo.mean(1, True).expand_as(photo))]
        )
    assert 0.8 < sum(found) / sum(true) < 1.2
    ours, grey = (sum(column) for column in zip(*errors, strict=True))
    assert ours < 0.95 * grey


def test_samples_differ_and_are_repeated(model: Model) -> None:
    scene = render(3, size=96)[None]
    one, two = (model.stylize(scene, sample=number) for number in (1, 2))
    assert float((one - two).abs().mean()) > 0.01
    assert torch.equal(one, model.stylize(scene, sample=1))


def test_a_hint_is_followed_where_it_is(model: Model) -> None:
    grey = torch.full((1, 3, 128, 128), 0.5)
    hints = torch.zeros(1, 4, 128, 128)
    hints[..., 60:68, 60:68] = torch.tensor([0.7, 0.3, 0.35, 1.0]).view(1, 4, 1, 1)
    told, plain = model.stylize(grey, hints=hints), model.stylize(grey)
    wanted = to_lab(torch.tensor([0.7, 0.3, 0.35]).view(1, 3, 1, 1))[0, 1:, 0, 0]
    there, before = (to_lab(each)[0, 1:, 62:66, 62:66].mean((1, 2)) for each in (told, plain))
    assert float((there - wanted).norm()) < 0.5 * float((before - wanted).norm())
