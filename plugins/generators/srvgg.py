"""The compact network of Real-ESRGAN (Wang et al. 2021; there, SRVGGNetCompact): all its convolutions see the small image.

The layers have the same names and indices as in the paper's code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import StylekitError, hookimpl
from stylekit.layers import Count, Width, require_options


class SRVGG(nn.Module):
    """3x3 convolutions with PReLU, and a pixel shuffle (Shi et al. 2016); its result is added to the enlarged image.

    Args:
        width: channels of the convolutions
        convs: number of convolutions between the first and the last
        scale: sides of the output, as a multiple of the input's
        channels: channels of the images

    Raises:
        StylekitError: ``scale`` is not from 1 to 8, or another number is below 1.
    """

    sample_independent = True

    def __init__(self, width: Width = 64, convs: Count = 16, scale: int = 1, channels: Width = 3) -> None:
        super().__init__()
        require_options(width=width, convs=convs, channels=channels)
        if not 1 <= scale <= 8:
            raise StylekitError(f"The option 'scale' of the generator 'srvgg' is {scale}, but must be from 1 to 8.")
        self.scale = scale
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), nn.PReLU(width)]
        for _ in range(convs):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.PReLU(width)]
        self.body = nn.Sequential(*layers, nn.Conv2d(width, channels * scale**2, 3, padding=1))

    def forward(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        """Restores images ``(N, C, H, W)`` in [0, 1], of any size: ``(N, C, scale * H, scale * W)``.

        In training, values may leave [0, 1], because clipped ones would have no gradient.
        """
        enlarged = content.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)
        out = enlarged + F.pixel_shuffle(self.body(content), self.scale)
        return out if self.training else out.clamp(0, 1)

    @staticmethod
    def recognise(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Derives the options of the network from its weights, in files of Real-ESRGAN; None if they are others'."""
        numbers = [int(key.split(".")[1]) for key in state if re.fullmatch(r"body\.\d+\.bias", key)]
        first, slope = state.get("body.0.weight"), state.get("body.1.weight")
        if not numbers or first is None or slope is None or first.ndim != 4 or slope.ndim != 1:
            return None
        channels = first.shape[1]
        scale = math.isqrt(len(state[f"body.{max(numbers)}.bias"]) // channels)
        found = {"width": first.shape[0], "convs": len(numbers) - 2, "scale": scale}
        return found if channels == 3 else {**found, "channels": channels}


@hookimpl
def stylekit_generators() -> dict[str, Callable[..., nn.Module]]:
    return {"srvgg": SRVGG}
