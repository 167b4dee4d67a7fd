"""The residual generator of Johnson et al. (2016) as CycleGAN uses it (Zhu et al. 2017, appendix 7.2).

The layers have the same indices as in the paper's PyTorch code, so that its ``latest_net_G_A.pth`` loads unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from stylekit import hookimpl
from stylekit.images import pad_to
from stylekit.layers import (
    BlurDown,
    Count,
    InstanceNorm,
    NarrowConv2d,
    Norm,
    Upsample,
    Width,
    freeze_redundant_biases,
    init_normal,
    norm_activation,
    norm_layer,
    require_options,
    resize_conv,
)
from stylekit.weights import Channels, follow, narrow

PLAIN, BLURRED = 10, 12
"""The index of the first block, without and with blurred resampling."""


class ResBlock(nn.Module):
    """Two 3x3 convolutions with reflection padding, added to their input."""

    def __init__(self, width: int, norm: Norm, dropout: float, separable: bool = False) -> None:
        super().__init__()
        bias = norm == "instance"

        def conv() -> nn.Module:
            if not separable:
                return nn.Conv2d(width, width, 3, bias=bias)
            depthwise = nn.Conv2d(width, width, 3, groups=width, bias=bias)
            return nn.Sequential(depthwise, norm_layer(norm, width), nn.Conv2d(width, width, 1, bias=bias))

        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            conv(),
            *norm_activation("relu", norm, width),
            *([nn.Dropout(dropout)] if dropout else []),
            nn.ReflectionPad2d(1),
            conv(),
            norm_layer(norm, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        *body, norm = self.conv_block
        change = x
        for layer in body:
            change = layer(change)
        # The kernel of InstanceNorm adds the residual in the same pass.
        out: Tensor = norm(change, residual=x) if isinstance(norm, InstanceNorm) else x + norm(change)
        return out


class ResNet(nn.Module):
    """Residual generator: two downsampling layers, residual blocks, two upsampling layers.

    Args:
        blocks: number of residual blocks (in the paper 9 for 256 pixels, 6 for 128)
        width: channels of the first layer
        norm: normalisation
        dropout: probability of dropping a value within a block
        upsample: transposed convolution as in the paper, or resize-convolution, which avoids checkerboard artefacts
            (Odena et al. 2016)
        channels: channels of the images
        outputs: channels of the results; by default, those of the images
        antialias: halve with a blur and double bilinearly (Zhang 2019), as CUT does; ``upsample`` is not used then
        separable: in the blocks, a convolution of each channel by itself, a norm, and one of 1x1 in place of each convolution,
            as in the students of Li et al. 2020 ("GAN compression"): with many channels, a ninth of the operations
    """

    stride = 4
    min_size = 8

    def __init__(
        self,
        blocks: Count = 9,
        width: Width = 64,
        norm: Norm = "instance",
        dropout: float = 0.0,
        upsample: Upsample = "transpose",
        channels: Width = 3,
        antialias: bool = False,
        separable: bool = False,
        outputs: Width | None = None,
    ) -> None:
        super().__init__()
        self.sample_independent = norm != "batch"
        self.width = width
        require_options(dropout, blocks=blocks, width=width, channels=channels)
        bias = norm == "instance"

        def down(before: int, after: int) -> list[nn.Module]:
            conv = nn.Conv2d(before, after, 3, stride=1 if antialias else 2, padding=1, bias=bias)
            return [conv, *norm_activation("relu", norm, after), *([BlurDown(after)] if antialias else [])]

        def up(before: int, after: int) -> list[nn.Module]:
            if antialias:
                enlarged = [
                    nn.Upsample(scale_factor=2, mode="bilinear"),
                    nn.Conv2d(before, after, 3, padding=1, bias=bias),
                ]
            elif upsample == "transpose":
                enlarged = [nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=1, bias=bias)]
            else:
                enlarged = [resize_conv(before, after, bias)]
            return [*enlarged, *norm_activation("relu", norm, after)]

        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(channels, width, 7, bias=bias)]
        layers += norm_activation("relu", norm, width)
        self.ends = {len(layers) - 1}  # of the first layer, of those that change the size, and of the blocks
        steps = [down(width, 2 * width), down(2 * width, 4 * width)]
        steps += [[ResBlock(4 * width, norm, dropout, separable)] for _ in range(blocks)]
        steps += [up(4 * width, 2 * width), up(2 * width, width)]
        for step in steps:
            layers += step
            self.ends.add(len(layers) - 1)
        layers += [nn.ReflectionPad2d(3), NarrowConv2d(width, outputs or channels, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)
        init_normal(self)
        freeze_redundant_biases(self)

    @staticmethod
    def recognise(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Derives the options of the network from its weights; None if they are not the weights of a ResNet."""
        first, numbers = state.get("model.1.weight"), {int(key.split(".")[1]) for key in state if ".conv_block." in key}
        start = min(numbers, default=0)
        if first is None or first.ndim != 4 or start not in (PLAIN, BLURRED):
            return None
        block, end = f"model.{start}.conv_block", start + len(numbers)
        ups = {"transpose": f"model.{end}.weight", "resize": f"model.{end}.2.weight"}
        upsample = next((name for name, key in ups.items() if key in state), "transpose" if start == BLURRED else None)
        if upsample is None:
            return None
        last = max((key for key in state if key.endswith(".weight")), key=lambda key: int(key.split(".")[1]))
        outputs = {"outputs": len(state[last])} if len(state[last]) != first.shape[1] else {}
        return {
            "blocks": len(numbers),
            "width": first.shape[0],
            "norm": "batch" if "model.2.weight" in state else "instance" if "model.1.bias" in state else "none",
            "dropout": 0.5 if f"{block}.6.weight" in state and f"{block}.5.weight" not in state else 0.0,
            "upsample": upsample,
            "channels": first.shape[1],
            "antialias": start == BLURRED,
            **outputs,
        }

    def narrowed(self, keep: float) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The options and the weights of this network with a share ``keep`` of its channels."""
        groups = [Channels()]
        for layer in self.model:
            made = follow(layer, groups[-1])
            if isinstance(layer, ResBlock):  # its output is added to what it reads, so both lose the same channels
                *within, added = made
                groups[-1].makers += added.makers
                groups[-1].passed += added.passed
                groups = [*within, *groups]
            else:
                groups += made
        inner = [each for each in groups[:-1] if each.makers]  # neither the image that is read nor the one that is made
        narrower = max(1, round(keep * self.width))
        return {"width": narrower}, narrow(self, inner, self.width, narrower)

    def forward(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        """Translates images ``(N, C, H, W)`` in [0, 1], of any size, to images of the same size and range."""
        height, width = content.shape[-2:]
        padded = pad_to(content, self.stride, self.min_size)
        out: Tensor = self.model(padded * 2 - 1)[..., :height, :width]
        return (out + 1) / 2

    def features(self, content: Tensor) -> Iterator[Tensor]:
        """Yields the features after the first layer, each that halves, each block and each that doubles the image, and at last
        what ``forward`` returns. A caller that stops early saves the rest."""
        height, width = content.shape[-2:]
        x = pad_to(content, self.stride, self.min_size) * 2 - 1
        for number, layer in enumerate(self.model):
            x = layer(x)
            if number in self.ends:
                yield x
        yield (x[..., :height, :width] + 1) / 2


@hookimpl
def stylekit_generators() -> dict[str, Callable[..., nn.Module]]:
    return {"resnet": ResNet}
