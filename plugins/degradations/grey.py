"""Pictures without colours."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from stylekit import hookimpl
from stylekit.hookspecs import Degradation

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luma of ITU-R BT.601, from 0 to 1."""


class Grey(nn.Module):
    """Replaces each channel by the luma, as ``Image.convert("L")`` of Pillow does."""

    channels = (3,)

    def forward(self, image: Tensor) -> Tensor:
        """Greys images ``(N, 3, H, W)`` in [0, 1]: three equal channels."""
        luma = torch.einsum("nchw,c->nhw", image, image.new_tensor(LUMA))
        return luma[:, None].expand_as(image).clone()


@hookimpl
def stylekit_degradations() -> dict[str, Callable[..., Degradation]]:
    return {"grey": Grey}
