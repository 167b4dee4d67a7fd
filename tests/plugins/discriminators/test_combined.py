"""Several discriminators as one: scales, kinds, and what they pass on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from stylekit import StylekitError, make, testing
from stylekit_plugins.discriminators.combined import Multiscale, MultiscaleSN, Several
from tests.facts import raises

JUDGE = {"name": "patch", "layers": 2, "width": 4}


def test_every_scale_is_scored_by_its_own_discriminator() -> None:
    network: Any = make("discriminator", "multiscale", judge=JUDGE, scales=3).eval()
    image = torch.rand(2, 3, 64, 64)
    half = torch.nn.functional.avg_pool2d(image, 3, 2, 1, count_include_pad=False)
    scores = network(image)
    assert len(scores) == 3
    for found, judge, scaled in zip(scores, network.judges, (image, half), strict=False):
        torch.testing.assert_close(found, judge(scaled))


def test_a_condition_is_scaled_with_the_image() -> None:
    network: Any = make("discriminator", "multiscale", judge=JUDGE, channels=6)
    image, condition = torch.rand(2, 1, 3, 32, 32)
    for one, other in zip(network(image, condition), network(torch.cat([image, condition], 1)), strict=True):
        torch.testing.assert_close(one, other)


def test_several_kinds_give_all_their_scores() -> None:
    network: Any = make(
        "discriminator", "several", judges=[JUDGE, {"name": "resnet-sn", "blocks": 2, "width": 4}]
    ).eval()
    image = torch.rand(2, 3, 32, 32)
    patches, whole = network(image)
    torch.testing.assert_close(patches, network.judges[0](image))
    torch.testing.assert_close(whole, network.judges[1](image))
    assert network.min_size == 12


def test_options_reach_all_of_them() -> None:
    network: Any = make("discriminator", "several", judges=[JUDGE, "pixel"], channels=6)
    assert len(network(torch.rand(1, 6, 32, 32))) == 2
    with raises(StylekitError, "'several'", "at least one"):
        make("discriminator", "several", judges=[])


@pytest.mark.parametrize("independent", [True, False])
def test_images_are_independent_if_they_are_for_all(independent: bool) -> None:
    group = 0 if independent else 4
    network: Any = make("discriminator", "several", judges=[JUDGE, {"name": "resnet-sn", "blocks": 2, "group": group}])
    assert network.sample_independent is independent


def test_labels_reach_all_of_them() -> None:
    judge = {"name": "projection", "layers": 2, "width": 4}
    network: Any = make(
        "discriminator", "several", judges=[judge, {"name": "resnet-sn", "blocks": 2}], classes=3
    ).eval()
    assert network.classes == 3
    image, labels = torch.rand(2, 3, 32, 32), torch.tensor([0, 2])
    scores: list[Tensor] = network(image, labels)
    torch.testing.assert_close(scores[0], network.judges[0](image, labels))


@pytest.mark.parametrize("kind", [Multiscale, MultiscaleSN, Several])
def test_conformance(kind: type) -> None:
    testing.check("discriminator", kind)
