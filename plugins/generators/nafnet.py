"""NAFNet (Chen et al. 2022, "Simple baselines for image restoration"): a U-Net without activation functions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import StylekitError, hookimpl
from stylekit.images import pad_to
from stylekit.layers import Count, Width, require_options

PARTS = {"intro": "first", "ending": "last", "middle_blks": "middle"}
LAYERS = {
    "conv1": "expand", "conv2": "depthwise", "sca": "attention", "conv3": "project", "conv4": "widen", "conv5": "narrow",
}  # fmt: skip
"""The names of parts and layers in files of the paper's code, and those here."""


class ChannelNorm(nn.Module):
    """Normalises the channels of each pixel, with a learned scale and shift (layer norm; Ba et al. 2016)."""

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        channels = x.permute(0, 2, 3, 1)
        return F.layer_norm(channels, self.weight.shape, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)


def gated(x: Tensor) -> Tensor:
    """The product of both halves of the channels: the paper's SimpleGate."""
    first, second = x.chunk(2, 1)
    return first * second


class Block(nn.Module):
    """A depthwise convolution with channel attention, and a pointwise network; each is added with a factor that starts at 0."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(width), ChannelNorm(width)
        self.expand = nn.Conv2d(width, 2 * width, 1)
        self.depthwise = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.attention = nn.Conv2d(width, width, 1)
        self.project = nn.Conv2d(width, width, 1)
        self.widen, self.narrow = nn.Conv2d(width, 2 * width, 1), nn.Conv2d(width, width, 1)
        self.beta = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        change = gated(self.depthwise(self.expand(self.norm1(x))))
        change = change * self.attention(change.mean((2, 3), keepdim=True))
        x = x + self.beta * self.project(change)
        out: Tensor = x + self.gamma * self.narrow(gated(self.widen(self.norm2(x))))
        return out


class NAFNet(nn.Module):
    """Blocks at several resolutions, each with half the sides and twice the channels of the one before.

    Args:
        width: channels at the full resolution (in the paper 32 or 64)
        blocks: blocks before each halving, and at last those of the coarsest resolution
        decoder: blocks after each doubling
        scale: sides of the output, as a multiple of the input's
        channels: channels of the images

    Raises:
        StylekitError: there is no resolution, ``scale`` is not from 1 to 8, or another number is below 1.
    """

    sample_independent = True

    def __init__(
        self,
        width: Width = 16,
        blocks: Sequence[Count] = (1, 1, 1, 2),
        decoder: Count = 1,
        scale: int = 1,
        channels: Width = 3,
    ) -> None:
        super().__init__()
        require_options(width=width, decoder=decoder, channels=channels)
        if not blocks or min(blocks) < 1 or not 1 <= scale <= 8:
            raise StylekitError(
                f"The generator 'nafnet' needs blocks at one resolution or more and a scale from 1 to 8, not {blocks} and "
                f"{scale}."
            )
        *before, coarsest = blocks
        self.scale, self.stride = scale, 2 ** len(before)
        self.min_size = self.stride
        widths = [width * 2**level for level in range(len(blocks))]
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.encoders = nn.ModuleList(several(each, count) for each, count in zip(widths, before, strict=False))
        self.downs = nn.ModuleList(nn.Conv2d(each, 2 * each, 2, stride=2) for each in widths[:-1])
        self.middle = several(widths[-1], coarsest)
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2 * each, 4 * each, 1, bias=False), nn.PixelShuffle(2)) for each in widths[:-1]
        )
        self.decoders = nn.ModuleList(several(each, decoder) for each in widths[:-1])
        self.last = nn.Conv2d(width, channels * scale**2, 3, padding=1)

    def forward(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        """Restores images ``(N, C, H, W)`` in [0, 1], of any size: ``(N, C, scale * H, scale * W)``.

        In training, values may leave [0, 1], because clipped ones would have no gradient.
        """
        height, width = content.shape[2:]
        x, skips = self.first(pad_to(content, self.stride)), []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            skips.append(encoder(x))
            x = down(skips[-1])
        x = self.middle(x)
        for decoder, up, skip in zip(reversed(self.decoders), reversed(self.ups), reversed(skips), strict=True):
            x = decoder(up(x) + skip)
        change = F.pixel_shuffle(self.last(x)[..., :height, :width], self.scale)
        out = content.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3) + change
        return out if self.training else out.clamp(0, 1)

    @staticmethod
    def recognise(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Derives the options of the network from its weights, in files of the paper's code; None if they are others'."""
        state = NAFNet.translate(state)
        first = state.get("first.weight")
        if first is None or "middle.0.beta" not in state:
            return None

        def counts(part: str) -> dict[int, int]:
            """The number of blocks at each resolution."""
            found = [re.fullmatch(rf"{part}\.(\d+)\.\d+\.beta", key) for key in state]
            return Counter(int(match[1]) for match in found if match)

        before, after = counts("encoders"), counts("decoders")
        middle = sum(re.fullmatch(r"middle\.\d+\.beta", key) is not None for key in state)
        if len({*after.values()}) != 1 or len(before) != len(after):
            return None
        blocks = (*(before[level] for level in range(len(before))), middle)
        found = {"width": first.shape[0], "blocks": blocks, "decoder": after[0]}
        return found if first.shape[1] == 3 else {**found, "channels": first.shape[1]}

    @staticmethod
    def translate(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights under the names of this network's layers; those of the paper's code have others."""
        levels = len({key.split(".")[1] for key in state if key.startswith("downs.")})

        def name(key: str) -> str:
            part, _, rest = key.partition(".")
            # There, the first of these are those of the coarsest resolution.
            if "intro.weight" in state and part in ("ups", "decoders"):
                level, _, rest = rest.partition(".")
                rest = f"{levels - 1 - int(level) if level.isdecimal() else level}.{rest}"
            *before, layer, leaf = [PARTS.get(part, part), *rest.split(".")]
            if before[-1:] == ["sca"]:
                before, layer = before[:-1], "sca"
            return ".".join([*before, LAYERS.get(layer, layer), leaf])

        return {name(key): tensor for key, tensor in state.items()}


def several(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Block(width) for _ in range(count)))


@hookimpl
def stylekit_generators() -> dict[str, Callable[..., nn.Module]]:
    return {"nafnet": NAFNet}
