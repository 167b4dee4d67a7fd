"""The projected discriminator: what is frozen, and how features are mixed."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import testing
from stylekit_plugins.discriminators.projected import Projected


class Two(nn.Module):
    """Features of two layers."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"fine": image, "coarse": F.avg_pool2d(image, 2)[:, :2]}


def test_only_the_small_discriminators_are_trained() -> None:
    network = Projected({"name": "random", "width": 8, "scales": 2}, width=8)
    trained = {name.split(".")[0] for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert trained == {"judges"}


def test_features_are_mixed_from_coarse_to_fine() -> None:
    torch.manual_seed(0)
    network, image = Projected(Two, width=4), torch.rand(2, 3, 16, 16)
    found = Two()(image)
    coarse = network.along["coarse"](network.across["coarse"](found["coarse"]))
    enlarged = F.interpolate(coarse, scale_factor=2.0, mode="bilinear")
    fine = network.along["fine"](network.across["fine"](found["fine"]) + enlarged)
    for one, other in zip(network.features(image), (fine, coarse), strict=True):
        torch.testing.assert_close(one, other)
    scores = network(image)
    assert [len(each) for each in scores] == [2, 2]


def test_conformance() -> None:
    testing.check("discriminator", partial(Projected, {"name": "random", "width": 8, "scales": 2}, width=8))
