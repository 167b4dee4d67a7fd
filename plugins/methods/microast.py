"""MicroAST: any style from one image with half a million parameters and without a VGG network (Wang et al. 2023,
"MicroAST: towards super-fast ultra-resolution arbitrary style transfer").

Two small encoders describe content and style. The style's features modulate the decoder in two ways: AdaIN before each of
its residual blocks, and a factor and an offset for the blocks' convolutions ("filter modulation"). This is the network for
the weights that its authors published under the MIT licence; it has no training of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import Method, StylekitError, hookimpl
from stylekit.images import pad_to
from stylekit.losses import moments
from stylekit.method import Capabilities, Statistics
from stylekit.ops import adain_with

__all__ = ["MicroAST"]

EPS = 1e-5
NETWORKS = ("content_encoder", "style_encoder", "modulator", "decoder")


def conv(before: int, after: int, side: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.ReflectionPad2d(side // 2), nn.Conv2d(before, after, side, stride, groups=groups))


class Residual(nn.Module):
    """A residual block, whose convolutions a style may modulate."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv(width, width, 3), conv(width, width, 3)

    def forward(self, x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        if weight is None or bias is None:
            plain: Tensor = x + self.conv2(F.relu(self.conv1(x)))
            return plain
        weight, bias = weight[..., None, None], bias[..., None, None]
        y = F.relu(weight * self.conv1(x) + bias * x)
        modulated: Tensor = x + weight * self.conv2(y) + bias * y
        return modulated


class Encoder(nn.Module):
    """Features ``(N, 64, H/4, W/4)`` after one and after two residual blocks."""

    def __init__(self) -> None:
        super().__init__()
        layers = [conv(3, 16, 9), conv(16, 32, 3, 2, 16), conv(32, 32, 1), conv(32, 64, 3, 2, 32), conv(64, 64, 1)]
        self.enc1 = nn.Sequential(*(each for layer in layers for each in (layer, nn.ReLU())), Residual())
        self.enc2 = nn.Sequential(Residual())

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        first = self.enc1(image)
        return first, self.enc2(first)


class Modulator(nn.Module):
    """The factors and offsets ``(N, 64)`` for a block: means of a convolution of each channel by itself."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("weight1", "bias1", "weight2", "bias2"):
            self.add_module(name, nn.Sequential(conv(64, 64, 3, groups=64)))

    def forward(self, features: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        pairs = ((name, features[int(name[-1]) - 1]) for name, _ in self.named_children())
        return {name: self.get_submodule(name)(each).mean((2, 3)) for name, each in pairs}


class Decoder(nn.Module):
    """Two residual blocks, modulated by the style, and upsampling to an image."""

    def __init__(self) -> None:
        super().__init__()
        self.dec1, self.dec2 = Residual(), Residual()
        up = nn.Upsample(scale_factor=2, mode="bilinear")
        self.dec3 = nn.Sequential(
            *(up, conv(64, 32, 3, groups=32), nn.ReLU(), conv(32, 32, 1), nn.ReLU()),
            *(up, conv(32, 16, 3, groups=16), nn.ReLU(), conv(16, 16, 1), nn.ReLU(), conv(16, 3, 9)),
        )

    def forward(self, features: Tensor, style: Statistics, strength: float) -> Tensor:
        for block, name in ((self.dec1, "2"), (self.dec2, "1")):
            mean, std = style[f"mean{name}"], style[f"std{name}"]
            features = adain_with(features, mean, std, EPS, strength, unbiased=True)  # as in the authors' code
            features = block(features, style[f"weight{name}"], style[f"bias{name}"])
        image: Tensor = self.dec3(features)
        return image


class MicroAST(Method):
    """Any style in one pass, with published weights: ``stylekit import`` reads the four files of ``models/``."""

    batch_keys = ()
    capabilities = Capabilities(thread_safe=True)
    style_modules = ("style_encoder", "modulator")

    def __init__(self) -> None:
        super().__init__()
        self.content_encoder, self.style_encoder = Encoder(), Encoder()
        self.modulator, self.decoder = Modulator(), Decoder()

    def describe(self, style: Tensor) -> Statistics:
        """Computes ``mean``, ``std``, ``weight`` and ``bias`` of each of both layers, all ``(N, 64)``."""
        features = self.style_encoder(pad_to(style, 4, 8))
        statistics: dict[str, Tensor] = self.modulator(features)
        for name, each in zip("12", features, strict=True):
            statistics[f"mean{name}"], statistics[f"std{name}"] = moments(each, EPS, unbiased=True)
        return statistics

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        height, width = content.shape[2:]
        _, features = self.content_encoder(pad_to(content, 4, 8))
        image: Tensor = self.decoder(features, style, strength)
        return image[..., :height, :width].clamp(0, 1)

    @classmethod
    def import_weights(cls, files: Mapping[str, Mapping[str, Tensor]]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Reads the authors' four files, which are recognised by their names, such as ``decoder_iter_160000.pth.tar``."""
        state: dict[str, Tensor] = {}
        found = {name: file for file in files for name in NETWORKS if Path(file).name.startswith(name)}
        for name in NETWORKS:
            if name not in found:
                raise StylekitError(
                    f"The {name.replace('_', ' ')} of MicroAST is missing. Pass its four files together: "
                    f"{', '.join(f'{each}_iter_160000.pth.tar' for each in NETWORKS)}."
                )
            for key, tensor in files[found[name]].items():
                state[f"{name}.{re.sub('conv_layer', '1', key)}"] = tensor
        return {}, state


@hookimpl
def stylekit_methods() -> dict[str, Callable[..., Method]]:
    return {"microast": MicroAST}
