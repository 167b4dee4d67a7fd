"""colorstyle: colours grey pictures, and stylises them too if a style is given, with one generator.

The generator is that of ``colorize``, with a branch that changes lightness and colours. A small network describes a style by a
code, which scales and shifts the channels of every block (Dumoulin et al. 2017; Ghiasi et al. 2017). Without a style, a learned
code takes its place, and the branch is off, so that the lightness is kept. In each step, every picture of the batch is coloured
without a style, where its true colours are known, and stylised with one, where an encoder compares features (Gatys et al. 2016;
Johnson et al. 2016).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import Method, Part, Player, hookimpl, turn
from stylekit.encoders import encode, frozen_encoder, layer_shapes
from stylekit.images import pad_to
from stylekit.images.color import from_lab, to_lab
from stylekit.layers import Width, require_options, resize_conv
from stylekit.losses import ContentLoss, StyleLoss, moment_loss, moments
from stylekit.method import Batch, Capabilities, Statistics, Terms, cosine
from stylekit_plugins.methods.colors.network import STRIDE, Block, Trunk, normed, scorer
from stylekit_plugins.methods.colors.palette import Palette, enlarged

RANGE = (60.0, 90.0, 90.0)
"""The largest changes of L, a and b."""


class StyleEncoder(nn.Module):
    """Describes a style by a code: the means and standard deviations of its colours and of features, through a linear layer.

    Args:
        width: channels of the first layer
        code: length of the code
    """

    def __init__(self, width: int, code: int) -> None:
        super().__init__()
        widths = [3, width, 2 * width, 4 * width]
        self.layers = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(before, after, 3, 2, 1), nn.ReLU())
                for before, after in itertools.pairwise(widths)
            )
        )
        self.last = nn.Linear(8 * width + 6, code)

    def forward(self, style: Tensor) -> Tensor:
        """The codes ``(N, code)`` of images ``(N, 3, H, W)`` in [0, 1], of any size."""
        centred = style * 2 - 1
        code: Tensor = self.last(torch.cat([*moments(centred), *moments(self.layers(centred))], 1))
        return code


class StyledNet(nn.Module):
    """From lightness and a code to the scores of colours, and to changes of the picture.

    Args:
        width: channels at half the sides
        bins: number of colours
        code: length of the code
    """

    min_size = 2 * STRIDE

    def __init__(self, width: int, bins: int, code: int) -> None:
        super().__init__()
        self.trunk, self.last = Trunk(width, 1, code), scorer(width, bins)
        self.up, self.block = normed(2 * width, width), Block(width, code)
        self.change = resize_conv(width, 3)

    def forward(self, light: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
        """Scores ``(N, bins, H / 4, W / 4)``, and changes of L, a and b ``(N, 3, H, W)``.

        Args:
            light: lightness ``(N, 1, H, W)`` in [0, 100]; the sides are multiples of 16
            code: ``(N, code)``
        """
        features, skip = self.trunk(light / 50 - 1, code)
        x = self.block(F.relu(F.interpolate(self.up(features), scale_factor=2, mode="bilinear") + skip), code)
        change = self.change(x).tanh()
        return self.last(features), change * change.new_tensor(RANGE)[:, None, None]


class ColorStyle(Method):
    """One generator colours pictures, and stylises them in the style of a picture, if one is given.

    The learned style ``none``, which is used without another one, only colours. A strength below 1 lies between the two.

    Args:
        width: channels of the generator at half the sides
        code: length of the code of a style
        encoder: network whose features are compared; by default VGG-19 if there are weights of it, otherwise random filters
        content_layers: layers of the encoder for the content loss; if empty, the last but one
        content: weight of the content's features, which are compared after an instance norm
        style: weight of the error of the Gram matrices
        moments: weight of the differences in the mean and the standard deviation of red, green and blue
        rebalance: how little rare colours count when pictures are coloured, as for ``colorize``
        lr: learning rate (Adam), which falls to zero along half a cosine
        ema: decay of the exponential moving average of the networks, used for samples and the finished model

    Raises:
        StylekitError: ``rebalance`` is not above 0 and at most 1, or ``width`` or ``code`` is below 1.
    """

    inference_modules = ("generator", "describer", "palette")
    style_modules = ("describer",)
    capabilities = Capabilities(thread_safe=True, exportable=False, zero_strength=True)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"width": 8, "code": 16, "encoder": {"name": "random", "width": 32, "scales": 4}, "ema": 0.99},
    }

    def __init__(
        self,
        width: Width = 20,
        code: Width = 32,
        encoder: Part | None = None,
        content_layers: Sequence[str] = (),
        content: float = 1.0,
        style: float = 3.0,
        moments: float = 30.0,
        rebalance: float = 0.5,
        lr: float = 2e-3,
        ema: float | None = 0.999,
    ) -> None:
        super().__init__()
        require_options(width=width, code=code)
        self.palette = Palette(rebalance)
        self.generator = StyledNet(width, len(self.palette.bins), code)
        self.describer = StyleEncoder(width, code)
        self.describer.register_parameter("none", nn.Parameter(torch.zeros(1, code)))
        self.encoder_part, self.content_layers = encoder, tuple(content_layers)
        self.weights = {"content": content, "style": style, "moments": moments}
        self.lr, self.ema = lr, ema

    def prepare(self) -> None:
        self.encoder = frozen_encoder(self.encoder_part)
        layers = self.content_layers or tuple(layer_shapes(self.encoder))[-2:-1]
        self.content_loss, self.style_loss = ContentLoss(layers, normalize=True), StyleLoss()

    def players(self) -> dict[str, Player]:
        networks = [self.generator, self.describer]
        return {
            "generator": Player(networks, self.lr, optimizer=torch.optim.Adam, schedule=cosine, clip=1.0, ema=self.ema)
        }

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        content = batch["content"]
        height, width = content.shape[2:]
        with torch.no_grad():
            lab = pad_to(to_lab(content), STRIDE)
        light, count = lab[:, :1], len(content)
        codes = torch.cat([self._none(count), self.describer(batch["style"])])
        scores, change = self.generator(light.repeat(2, 1, 1, 1), codes)
        styled = self._picture(light, scores[count:], change[count:])[..., :height, :width]
        return {"scores": scores[:count], "ab": lab[:, 1:], "styled": styled}

    def outputs(self, batch: Batch, made: dict[str, Tensor]) -> dict[str, list[tuple[Tensor, Tensor]]]:
        return {"generator": [(made["styled"], batch["content"])]}

    @turn("generator")
    def paint(self, batch: Batch, made: dict[str, Tensor]) -> Terms:
        styled, style = made["styled"], batch["style"]
        with torch.no_grad():
            shown = self.content_loss.target(encode(self.encoder, batch["content"]))
            look = self.style_loss.target(encode(self.encoder, style))
        features = encode(self.encoder, styled)
        terms = {
            "content": self.content_loss(features, shown).mean(),
            "style": self.style_loss(features, look).mean(),
            "moments": moment_loss(moments(styled), moments(style)).mean(),
        }
        return {
            "colors": self.palette.loss(made["scores"], made["ab"]),
            **{name: self.weights[name] * term for name, term in terms.items()},
        }

    def _none(self, count: int) -> Tensor:
        """The code for pictures that are only coloured, ``(count, code)``."""
        return self.describer.get_parameter("none").expand(count, -1)

    def _picture(self, light: Tensor, scores: Tensor, change: Tensor) -> Tensor:
        """The picture of a lightness and the scores of its colours, with changes of L, a and b."""
        lab = torch.cat([light, enlarged(self.palette.choose(scores), light, light)], 1) + change
        return from_lab(torch.cat([lab[:, :1].clamp(0, 100), lab[:, 1:]], 1))

    def describe(self, style: Tensor) -> dict[str, Tensor]:
        """The code ``(N, code)`` of each style, and 1 as the share of the changes ``(N, 1)``."""
        return {"code": self.describer(style), "share": style.new_ones(len(style), 1)}

    def styles(self) -> dict[str, Statistics]:
        code = self._none(1)
        return {"none": {"code": code, "share": code.new_zeros(1, 1)}}

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        """Colours and stylises images ``(N, 3, H, W)`` in [0, 1], of any size; a strength of 0 only colours.

        Args:
            content: images, of which only the lightness is used
            style: what ``describe`` returned, or ``none`` of ``styles``
            strength: from 0 to 1
        """
        height, width = content.shape[2:]
        light = pad_to(to_lab(content)[:, :1], STRIDE)
        code = torch.lerp(self._none(1), style["code"], strength).expand(len(content), -1)
        scores, change = self.generator(light, code)
        share = (strength * style["share"])[..., None, None]
        return self._picture(light, scores, share * change)[..., :height, :width]

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        content, style = batch["content"], batch["style"]
        lab = to_lab(content)
        grey = from_lab(torch.cat([lab[:, :1], torch.zeros_like(lab[:, 1:])], 1))
        coloured = self.transfer(content, self.styles()["none"])
        return {"grey": grey, "coloured": coloured, "style": style, "both": self.stylize(content, style)}


@hookimpl
def stylekit_methods() -> dict[str, Callable[..., Method]]:
    return {"colorstyle": ColorStyle}
