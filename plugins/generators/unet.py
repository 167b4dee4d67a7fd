"""The U-Net generator of pix2pix (Isola et al. 2017, section 3.2), which CycleGAN's code also offers.

The modules are nested as in the paper's PyTorch code, so that its files load unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stylekit import StylekitError, hookimpl
from stylekit.images import pad_to
from stylekit.layers import (
    Halvings,
    Norm,
    Upsample,
    Width,
    freeze_redundant_biases,
    init_normal,
    norm_layer,
    require_options,
    resize_conv,
)
from stylekit.weights import Channels, follow, narrow


class Level(nn.Module):
    """One downsampling layer, the level below, one upsampling layer, and a skip connection (except at the outermost level)."""

    def __init__(
        self,
        outer: int,
        inner: int,
        below: nn.Module | None,
        norm: Norm,
        upsample: Upsample,
        dropout: float = 0.0,
        image: int | None = None,
    ) -> None:
        super().__init__()
        self.outermost = image is not None
        bias = norm == "instance"
        down = nn.Conv2d(image or outer, inner, 4, stride=2, padding=1, bias=bias)
        up_in = inner if below is None else 2 * inner
        up: nn.Module
        if upsample == "resize":
            up = resize_conv(up_in, outer, bias or self.outermost)
        else:
            up = nn.ConvTranspose2d(up_in, outer, 4, stride=2, padding=1, bias=bias or self.outermost)
        # The first ReLU must not be in-place, because the skip connection still needs its input.
        if self.outermost:
            layers = [down, below, nn.ReLU(inplace=True), up, nn.Tanh()]
        elif below is None:
            layers = [nn.LeakyReLU(0.2), down, nn.ReLU(inplace=True), up, norm_layer(norm, outer)]
        else:
            layers = [nn.LeakyReLU(0.2), down, norm_layer(norm, inner), below, nn.ReLU(inplace=True), up]
            layers += [norm_layer(norm, outer), *([nn.Dropout(dropout)] if dropout else [])]
        self.model = nn.Sequential(*(layer for layer in layers if layer is not None))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out if self.outermost else torch.cat([x, out], 1)

    def follow(self, read: Channels) -> list[Channels]:
        """The channels that this level and those below make: first the downsampled, at last the upsampled ones."""
        made, reads = list[Channels](), [read]
        for layer in self.model:
            if isinstance(layer, Level):
                made += layer.follow(reads[0])
                reads = [reads[0], made[-1]]
            elif new := follow(layer, *reads):
                made, reads = made + new, new
        return made


class UNet(nn.Module):
    """An encoder and a decoder with skip connections at every resolution.

    Args:
        downs: number of downsampling layers, at least 5 (in the paper's code 7 for 128 pixels, 8 for 256)
        width: channels of the first layer
        norm: normalisation
        dropout: probability of dropping a value at the innermost levels
        upsample: transposed convolution as in the paper, or resize-convolution, which avoids checkerboard artefacts
        channels: channels of the images
        outputs: channels of the results; by default, those of the images
    """

    def __init__(
        self,
        downs: Halvings = 8,
        width: Width = 64,
        norm: Norm = "instance",
        dropout: float = 0.0,
        upsample: Upsample = "transpose",
        channels: Width = 3,
        outputs: Width | None = None,
    ) -> None:
        super().__init__()
        self.sample_independent = norm != "batch"
        self.width = width
        require_options(dropout, width=width, channels=channels)
        if downs < 5:
            raise StylekitError(f"The option 'downs' of the U-Net is {downs}, but must be at least 5.")
        self.min_size = 2**downs
        level = Level(width * 8, width * 8, None, norm, upsample)
        for _ in range(downs - 5):
            level = Level(width * 8, width * 8, level, norm, upsample, dropout)
        for scale in (4, 2, 1):
            level = Level(width * scale, width * scale * 2, level, norm, upsample)
        self.model = Level(outputs or channels, width, level, norm, upsample, image=channels)
        init_normal(self)
        freeze_redundant_biases(self)

    @staticmethod
    def recognise(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Derives the options of the network, except dropout, from its weights; None if they are not those of a U-Net."""
        first = state.get("model.model.0.weight")
        if first is None or first.ndim != 4:
            return None
        norms = "model.model.1.model.2.running_mean" in state
        bias = "model.model.0.bias" in state
        transposed = "model.model.3.weight" in state
        made = state["model.model.3.weight"].shape[1] if transposed else len(state["model.model.3.2.weight"])
        return {
            "downs": max(key.count("model.") for key in state) - 1,
            "width": first.shape[0],
            "norm": "batch" if norms else "instance" if bias else "none",
            "upsample": "transpose" if transposed else "resize",
            "channels": first.shape[1],
            **({"outputs": made} if made != first.shape[1] else {}),
        }

    def narrowed(self, keep: float) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The options and the weights of this network with a share ``keep`` of its channels."""
        *inner, _image = self.model.follow(Channels())
        narrower = max(1, round(keep * self.width))
        return {"width": narrower}, narrow(self, inner, self.width, narrower)

    def forward(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        """Translates images ``(N, C, H, W)`` in [0, 1], of any size, to images of the same size and range."""
        height, width = content.shape[-2:]
        out: Tensor = self.model(pad_to(content, self.min_size) * 2 - 1)[..., :height, :width]
        return (out + 1) / 2


@hookimpl
def stylekit_generators() -> dict[str, Callable[..., nn.Module]]:
    return {"unet": UNet}
