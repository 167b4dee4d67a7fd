"""Edges: the gradients of the lightness should stay where they are, whatever the colours become."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import hookimpl
from stylekit.hookspecs import ImageLoss
from stylekit.losses import edge_strength


class Edges(nn.Module):
    """The mean absolute difference of the strength of edges, by Sobel's filters on the lightness."""

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, 3, H, W)``: a scalar."""
        return F.l1_loss(edge_strength(output), edge_strength(reference))


@hookimpl
def stylekit_losses() -> dict[str, Callable[..., ImageLoss]]:
    return {"edges": Edges}
