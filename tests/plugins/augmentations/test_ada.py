"""ADA: how its probability adapts, and its changes of colours and geometry against formulas."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch

from stylekit import StylekitError, make, testing
from stylekit_plugins.augmentations.ada import ADA, turned_hue
from tests.facts import raises


def test_the_probability_follows_the_signs_of_the_scores() -> None:
    ada = ADA(target=0.6, images=100)
    for scores, expected in (
        ([1.0, 2.0, 3.0, 0.5], 0.04),
        ([1.0] * 4, 0.08),
        ([1.0, -1.0, 1.0, 1.0], 0.04),
        ([-9.0] * 8, 0.0),
    ):
        ada.observe(torch.tensor(scores))
        assert float(ada.probability) == pytest.approx(expected)
    ada.observe(torch.ones(1000))
    assert float(ada.probability) == 1.0
    assert "probability" in ada.state_dict()  # so that a resumed run continues with it


def test_with_several_processes_the_probability_rises_by_the_images_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    ada = ADA(images=100)
    ada.observe(torch.ones(4))
    assert float(ada.probability) == pytest.approx(0.08)


def test_each_change_has_the_probability_and_two_turns_have_it_together() -> None:
    """Of images that are not square, half are mirrored; shifts of less than half a pixel move nothing."""
    torch.manual_seed(0)
    p, height, width = 0.2, 20, 40
    image = torch.rand(1, 3, height, width).expand(4000, -1, -1, -1)
    same = (ADA(start=p)(image) - image).flatten(1).abs().amax(1) < 1e-4
    still = 0.5 / (height / 8) * 0.5 / (width / 8)
    unchanged = (
        (1 - p / 2) * (1 - p * (1 - still)) * (1 - p) ** 4
    )  # scale, turns, other proportions, shift by a fraction
    assert float(same.float().mean()) == pytest.approx(unchanged, abs=0.03)  # four deviations


def test_nothing_changes_at_probability_0() -> None:
    image = torch.rand(4, 3, 20, 30)
    torch.testing.assert_close(ADA(colors=True)(image), image, atol=1e-5, rtol=0)


def test_at_probability_1_every_image_is_changed_differently() -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 3, 16, 16).expand(8, -1, -1, -1)
    changed = ADA(start=1.0)(image)
    assert (changed - image).flatten(1).abs().mean(1).min() > 0.05
    assert torch.pdist(changed.flatten(1)).min() > 0.1


def test_a_constant_image_stays_constant_because_borders_are_mirrored() -> None:
    torch.manual_seed(0)
    image = torch.full((16, 3, 12, 20), 0.3)
    torch.testing.assert_close(ADA(start=1.0)(image), image)


def test_hues_turn_about_the_axis_of_grey() -> None:
    axis = np.full(3, 3**-0.5)
    color, angle = np.random.default_rng(0).random(3), 0.7
    turned = color * math.cos(angle) + np.cross(axis, color) * math.sin(angle)
    turned += axis * (axis @ color) * (1 - math.cos(angle))
    found = turned_hue(torch.tensor(color).view(1, 3, 1, 1), torch.tensor(angle))[0, :, 0, 0]
    torch.testing.assert_close(found, torch.tensor(turned))
    assert float(found.sum()) == pytest.approx(color.sum())
    assert float(found.norm()) == pytest.approx(float(np.linalg.norm(color)))


def test_changed_colours_keep_greys_grey() -> None:
    torch.manual_seed(0)
    grey = torch.rand(16, 1, 8, 8).expand(-1, 3, -1, -1)
    changed = ADA(start=1.0, colors=True)(grey)
    assert (changed.amax(1) - changed.amin(1)).max() < 1e-4


def test_wrong_options_are_refused() -> None:
    for options in ({"images": 0}, {"start": 1.5}):
        with raises(StylekitError, "'ada'", *options.values()):
            make("augmentation", "ada", **options)


@pytest.mark.parametrize("colors", [False, True])
def test_conformance(colors: bool) -> None:
    testing.check("augmentation", partial(ADA, colors=colors, start=0.7))
