"""The projection discriminator: its formula, and gradients of the labels' embeddings."""

from __future__ import annotations

from typing import Any

import torch

from stylekit import StylekitError, make, testing
from stylekit_plugins.discriminators.projection import Projection
from tests.facts import raises


def test_the_score_is_that_of_the_features_plus_their_product_with_the_label() -> None:
    torch.manual_seed(0)
    network: Any = Projection(classes=3, layers=2, width=4).eval()
    image = torch.rand(3, 3, 32, 32)
    labels = torch.tensor([2, 0, 1])
    features = network.model(image * 2 - 1)
    scores = network.score(features)
    inner = torch.einsum("nc,nchw->nhw", network.embedding.weight[labels], features)[:, None]
    torch.testing.assert_close(network(image, labels), scores + inner[..., : scores.shape[2], : scores.shape[3]])


def test_only_the_embeddings_of_the_labels_get_a_gradient() -> None:
    network: Any = make("discriminator", "projection", classes=4, layers=2, width=4)
    network(torch.rand(2, 3, 32, 32), torch.tensor([1, 3])).sum().backward()
    rows = network.embedding.parametrizations.weight.original.grad.abs().sum(1)
    assert (rows[[1, 3]] > 3 * rows[[0, 2]]).all()  # the norm's own gradient reaches all rows


def test_labels_are_needed() -> None:
    with raises(StylekitError, "'projection'", "labels"):
        make("discriminator", "projection")(torch.rand(1, 3, 64, 64))


def test_conformance() -> None:
    testing.check("discriminator", Projection)
