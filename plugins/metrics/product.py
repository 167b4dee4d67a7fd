"""The product of what was lost of the contents and how far the outputs are from the style, as one number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from stylekit import Part, StylekitError, hookimpl, make
from stylekit.hookspecs import Metric

CONTENT: Part = {"name": "perceptual-distance", "against": "content"}
STYLE: Part = "frechet"


class ArtProduct(nn.Module):
    """The product of 1 + the mean distance to the contents and 1 + the distance to the set of styles (Wright and Ommer 2022).

    It is called ArtFID only with LPIPS and with the Fréchet distance of certain features. Trivial answers do well in one factor
    only.

    Args:
        distance: metric of an output against its content; lower is better
        realism: metric of the set of outputs against the set of styles; lower is better

    Raises:
        StylekitError: one of the metrics measures something else.
    """

    against = "real"
    higher = False

    def __init__(self, distance: Part = CONTENT, realism: Part = STYLE) -> None:
        super().__init__()
        self.distance: Any = make("metric", distance)
        self.realism: Any = make("metric", realism)
        if self.distance.against != "content" or self.distance.higher:
            raise StylekitError(
                "The option 'distance' must be a metric against the content whose lower values are better."
            )
        if self.realism.against != "real" or self.realism.higher:
            raise StylekitError("The option 'realism' must be a metric of sets whose lower values are better.")

    @torch.no_grad()
    def features(self, image: Tensor, content: Tensor | None = None) -> Tensor:
        """The features ``(N, D + 1)`` of images ``(N, 3, H, W)`` in [0, 1], the last being the distance to their contents."""
        features: Tensor = self.realism.features(image)
        distance = features.new_zeros(len(features)) if content is None else self.distance(image, content)
        return torch.cat([features, distance.to(features)[:, None]], 1)

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares features ``(N, D + 1)`` and ``(M, D + 1)``: a scalar, at least 1 for the default metrics.

        Raises:
            StylekitError: there are too few images for the metric of sets.
        """
        lost = output[:, -1].double().mean()
        realism: Tensor = self.realism(output[:, :-1], reference[:, :-1])
        return (1 + lost) * (1 + realism)


@hookimpl
def stylekit_metrics() -> dict[str, Callable[..., Metric]]:
    return {"art-product": ArtProduct}
