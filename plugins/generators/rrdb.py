"""The network of ESRGAN (Wang et al. 2018) and Real-ESRGAN (Wang et al. 2021): dense blocks within residuals within residuals.

The layers have the names of Real-ESRGAN's code, so its public weights fit: ``stylekit import FILE --plugin restore``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import StylekitError, hookimpl
from stylekit.images import pad_to
from stylekit.layers import Count, Width, require_options

SHARE = 0.2
"""The factor on what each block adds, and the slope of the leaky ReLUs."""
OLD = {
    "model.0": "conv_first", "model.3": "conv_up1", "model.6": "conv_up2", "model.8": "conv_hr", "model.10": "conv_last",
    "trunk_conv": "conv_body", "upconv1": "conv_up1", "upconv2": "conv_up2", "HRconv": "conv_hr",
}  # fmt: skip
"""The layers outside of the blocks in files of ESRGAN, which has had two sets of names, and their later names."""


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees the block's input and the results of all before it.

    Args:
        width: channels of the block's input and output
        growth: channels of each result in between
    """

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, growth, 3, padding=1)
        self.conv2 = nn.Conv2d(width + growth, growth, 3, padding=1)
        self.conv3 = nn.Conv2d(width + 2 * growth, growth, 3, padding=1)
        self.conv4 = nn.Conv2d(width + 3 * growth, growth, 3, padding=1)
        self.conv5 = nn.Conv2d(width + 4 * growth, width, 3, padding=1)
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4, self.conv5):
            # A tenth of He's initialisation, so that deep networks begin close to the identity (ESRGAN, section 3.1).
            nn.init.kaiming_normal_(conv.weight)
            conv.weight.data *= 0.1
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]  # it has a bias

    def forward(self, x: Tensor) -> Tensor:
        seen = [x]
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen.append(F.leaky_relu(conv(torch.cat(seen, 1)), SHARE))
        out: Tensor = x + SHARE * self.conv5(torch.cat(seen, 1))
        return out


class RRDB(nn.Module):
    """Three dense blocks, and a residual around them."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(width, growth) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + SHARE * self.rdb3(self.rdb2(self.rdb1(x)))
        return out


class RRDBNet(nn.Module):
    """Blocks at a quarter of the output's sides, then two enlargements by repeated pixels, each with a convolution.

    For a ``scale`` below 4, the pixels of squares of the input become channels first, so that all blocks work at that size.

    Args:
        width: channels (in the papers 64)
        blocks: number of residual blocks (in the papers 23, or 6 for drawings)
        growth: channels of the results within a dense block (in the papers 32)
        scale: sides of the output, as a multiple of the input's: 1, 2 or 4
        channels: channels of the images

    Raises:
        StylekitError: ``scale`` is another number, or an option is below 1.
    """

    sample_independent = True

    def __init__(
        self, width: Width = 64, blocks: Count = 23, growth: Width = 32, scale: int = 1, channels: Width = 3
    ) -> None:
        super().__init__()
        require_options(width=width, blocks=blocks, growth=growth, channels=channels)
        if scale not in (1, 2, 4):
            raise StylekitError(f"The option 'scale' of the generator 'rrdb' is {scale}, but must be 1, 2 or 4.")
        self.scale, self.square = scale, 4 // scale
        self.conv_first = nn.Conv2d(channels * self.square**2, width, 3, padding=1)
        self.body = nn.Sequential(*(RRDB(width, growth) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(width, width, 3, padding=1)
        self.conv_up1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv_up2 = nn.Conv2d(width, width, 3, padding=1)
        self.conv_hr = nn.Conv2d(width, width, 3, padding=1)
        self.conv_last = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        """Restores images ``(N, C, H, W)`` in [0, 1], of any size: ``(N, C, scale * H, scale * W)``.

        In training, values may leave [0, 1], because clipped ones would have no gradient.
        """
        height, width = (side * self.scale for side in content.shape[2:])
        x = self.conv_first(F.pixel_unshuffle(pad_to(content, self.square), self.square))
        x = x + self.conv_body(self.body(x))
        for conv in (self.conv_up1, self.conv_up2):
            x = F.leaky_relu(conv(F.interpolate(x, scale_factor=2.0, mode="nearest")), SHARE)
        out: Tensor = self.conv_last(F.leaky_relu(self.conv_hr(x), SHARE))[..., :height, :width]
        return out if self.training else out.clamp(0, 1)

    @staticmethod
    def recognise(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Derives the options of the network from its weights, in files of ESRGAN or Real-ESRGAN; None if they are others'."""
        state = RRDBNet.translate(state)
        first, dense = state.get("conv_first.weight"), state.get("body.0.rdb1.conv1.weight")
        if first is None or dense is None or first.ndim != 4 or first.shape[1] not in (3, 12, 48):
            return None
        blocks = {int(key.split(".")[1]) for key in state if re.match(r"body\.\d+\.rdb1\.", key)}
        scale = {3: 4, 12: 2, 48: 1}[first.shape[1]]
        return {"width": first.shape[0], "blocks": len(blocks), "growth": dense.shape[0], "scale": scale}

    @staticmethod
    def translate(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights under the names of this network's layers; those of ESRGAN's files have others."""

        def name(key: str) -> str:
            layer, _, leaf = key.rpartition(".")
            if dense := re.fullmatch(r"(?:RRDB_trunk|model\.1\.sub)\.(\d+)\.RDB(\d)\.conv(\d)(?:\.0)?", layer):
                return "body.{}.rdb{}.conv{}.".format(*dense.groups()) + leaf
            if re.fullmatch(r"model\.1\.sub\.\d+", layer):
                return f"conv_body.{leaf}"
            return f"{OLD.get(layer, layer)}.{leaf}"

        return {name(key): tensor for key, tensor in state.items()}


@hookimpl
def stylekit_generators() -> dict[str, Callable[..., nn.Module]]:
    return {"rrdb": RRDBNet}
