"""Edges: the gradients of the lightness should stay where they are, whatever the colours become."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import hookimpl
from stylekit.hookspecs import ImageLoss

LUMA = (0.299, 0.587, 0.114)
"""The lightness of red, green and blue (ITU-R BT.601)."""


class Edges(nn.Module):
    """The mean absolute difference of the strength of edges, by Sobel's filters on the lightness."""

    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        sobel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
        self.register_buffer("filters", torch.stack([sobel, sobel.T])[:, None], persistent=False)

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, 3, H, W)``: a scalar."""
        return F.l1_loss(self._strength(output), self._strength(reference))

    def _strength(self, image: Tensor) -> Tensor:
        """The norm of the gradient at each pixel, ``(N, 1, H, W)``."""
        weights = image.new_tensor(LUMA)[:, None, None]
        grey = F.pad((image * weights).sum(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
        squares = F.conv2d(grey, self.filters.to(image)).square().sum(1, keepdim=True)
        return (squares + 1e-8).sqrt()  # the root has no gradient at 0


@hookimpl
def stylekit_losses() -> dict[str, Callable[..., ImageLoss]]:
    return {"edges": Edges}
