"""Metrics of edges: whether they stay where they are, and which are lost or invented."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import hookimpl
from stylekit.hookspecs import Metric
from stylekit.losses import edge_strength

EDGE = 0.04
"""Change of lightness from one pixel to the next that makes an edge."""
REACH = 2
"""Distance in pixels within which edges are the same."""


class EdgeCorrelation(nn.Module):
    """The correlation of the strength of edges, by Sobel's filters on the lightness: 1 if all edges stay where they are."""

    against = "content"
    higher = True

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, 3, H, W)`` of one size in [0, 1]: ``(N,)``, from -1 to 1; 0 if one of them has no edges."""
        ours, theirs = (edge_strength(image).flatten(1) for image in (output, reference))
        ours, theirs = ours - ours.mean(1, keepdim=True), theirs - theirs.mean(1, keepdim=True)
        return F.cosine_similarity(ours, theirs, eps=1e-6)


class InventedEdges(nn.Module):
    """The share of the output's edges with no edge of the reference within two pixels, after a blur: 0 if it has none.

    Args:
        against: what outputs are compared with: the true output, or their content
    """

    higher = False

    def __init__(self, against: Literal["truth", "content"] = "truth") -> None:
        super().__init__()
        self.against = against

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, 3, H, W)`` of one size in [0, 1]: ``(N,)``, from 0 to 1."""
        return unmatched(edges(output), edges(reference)).to(output)


class LostEdges(InventedEdges):
    """The share of the reference's edges with no edge of the output within two pixels, after a blur: 0 if it has none.

    Args:
        against: what outputs are compared with: the true output, or their content
    """

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, 3, H, W)`` of one size in [0, 1]: ``(N,)``, from 0 to 1."""
        return super().forward(reference, output)


def edges(image: Tensor) -> Tensor:
    """Where the lightness of blurred images ``(N, 3, H, W)`` changes quickly: ``(N, 1, H, W)``, boolean."""
    line = image.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    grey = F.pad(image.mean(1, keepdim=True), (2, 2, 2, 2), mode="replicate")
    blurred = F.conv2d(grey, torch.outer(line, line)[None, None])
    across, down = torch.gradient(blurred, dim=(3, 2))
    return (across.square() + down.square()).sqrt() > EDGE


def unmatched(mine: Tensor, theirs: Tensor) -> Tensor:
    """The share ``(N,)`` of my edges ``(N, 1, H, W)`` that are farther than the reach from all of theirs."""
    near = F.max_pool2d(theirs.float(), 2 * REACH + 1, 1, REACH) > 0
    return (mine & ~near).sum((1, 2, 3)) / mine.sum((1, 2, 3)).clamp(min=1)


@hookimpl
def stylekit_metrics() -> dict[str, Callable[..., Metric]]:
    return {"edge-correlation": EdgeCorrelation, "invented-edges": InventedEdges, "lost-edges": LostEdges}
