"""colorize: colours for grey pictures (Zhang et al. 2016, "Colorful image colorization").

A network predicts, for each pixel, how probable each of some hundred pairs of a and b of CIELAB is. So it need not choose the
mean of all colours that would fit, which is a greyish brown; rare colours count more in training. The lightness of the picture
is kept. As in Zhang et al. 2017 ("Real-time user-guided image colorization with learned deep priors"), the network also sees
colours at a few points, so that a user can tell it some.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from stylekit import Method, Player, StylekitError, hookimpl, turn
from stylekit.images import pad_to, resize, same_proportions, scaled
from stylekit.images.color import from_lab, to_lab
from stylekit.layers import Width, require_options
from stylekit.method import Batch, Capabilities, Layer, Terms, cosine
from stylekit_plugins.methods.colors.network import REDUCED, STRIDE, ColorNet
from stylekit_plugins.methods.colors.palette import Palette, averaged, enlarged

AB = 50
"""What a and b are divided by for the network."""


class Colorize(Method):
    """Colours grey pictures; of coloured ones, only the lightness is used.

    Args:
        width: channels of the network at half the sides; four times as many at a sixteenth
        side: shorter side at which colours are chosen; larger pictures are reduced for that, and their lightness is kept
        rebalance: colours count by the reciprocal of how frequent they are, after this share of a uniform distribution was
            mixed in: the smaller, the more rare colours count. 1: all count the same
        lr: learning rate (Adam), which falls to zero along half a cosine
        ema: decay of the exponential moving average of the network, used for samples and the finished model

    Raises:
        StylekitError: ``side`` is below 32, or ``rebalance`` is not above 0 and at most 1.
    """

    batch_keys = ("content",)
    inference_modules = ("generator", "palette")
    capabilities = Capabilities(thread_safe=True, exportable=False)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"tiny": {"width": 8, "side": 64, "lr": 3e-3, "ema": 0.99}}

    def __init__(
        self, width: Width = 24, side: int = 128, rebalance: float = 0.5, lr: float = 2e-3, ema: float | None = 0.999
    ) -> None:
        super().__init__()
        require_options(width=width)
        if side < ColorNet.min_size:
            raise StylekitError(f"'colorize' needs a side of at least {ColorNet.min_size}, not {side}.")
        self.palette = Palette(rebalance)
        self.generator = ColorNet(width, len(self.palette.bins))
        self.side, self.lr, self.ema = side, lr, ema

    def players(self) -> dict[str, Player]:
        return {
            "generator": Player(
                self.generator, self.lr, optimizer=torch.optim.Adam, schedule=cosine, clip=1.0, ema=self.ema
            )
        }

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        with torch.no_grad():
            lab = pad_to(to_lab(batch["content"]), STRIDE)
            hints = reveal(lab[:, 1:])
        return {"scores": self._scores(lab[:, :1], hints), "ab": lab[:, 1:]}

    @turn("generator")
    def choose(self, batch: Batch, made: dict[str, Tensor]) -> Terms:
        return {"colors": self.palette.loss(made["scores"], made["ab"])}

    def _scores(self, light: Tensor, hints: Tensor) -> Tensor:
        """The scores of the colours, for lightness ``(N, 1, H, W)`` and hints ``(N, 3, H, W)``.

        The network learns what hints mean for the pixels around them. At the hints themselves, they are added as evidence.
        """
        scale = hints.new_tensor([AB, AB, 1]).view(1, 3, 1, 1)
        learned = self.generator(torch.cat([light / 50 - 1, hints / scale], 1))
        scores: Tensor = learned + self.palette.evidence(hints, learned.shape[2:])
        return scores

    def stylize(
        self,
        content: Tensor,
        style: Tensor | None = None,
        *,
        hints: Layer | None = None,
        sample: int = 0,
        saturation: float = 1.0,
    ) -> Tensor:
        """Colours images ``(N, 3, H, W)`` in [0, 1], of any size.

        Args:
            content: the images
            style: not used
            hints: picture of the content's proportions with dots of the colours that are wanted there; transparent elsewhere
            sample: 0: the most typical colours; 1 and more: others that are probable, for each number its own
            saturation: factor on the colours

        Raises:
            StylekitError: the hints have other proportions, ``sample`` is negative, or ``saturation`` is not from 0 to 10.
        """
        if not (0 <= sample < 2**63 and 0 <= saturation <= 10):
            raise StylekitError(
                f"The options of 'colorize' must be from 0: 'sample', below 2**63, is {sample}, and 'saturation', up to 10, "
                f"is {saturation}."
            )
        size = (content.shape[2], content.shape[3])
        if hints is not None and not same_proportions((hints.shape[2], hints.shape[3]), size):
            raise StylekitError(
                f"The hints have {hints.shape[3]}x{hints.shape[2]} pixels, but the picture has {size[1]}x{size[0]}. Paint them "
                "on a transparent layer of its size."
            )
        light = to_lab(content)[:, :1]
        height, width = scaled(size, min(1.0, self.side / min(size)))
        small = light if (height, width) == size else resize(light / 100, (height, width)) * 100
        dots = averaged(hinted(hints, light), (height, width))
        scores = self._scores(pad_to(small, STRIDE), pad_to(dots, STRIDE))
        colors = self.palette.choose(scores[..., : -(-height // REDUCED), : -(-width // REDUCED)], sample)
        return from_lab(torch.cat([light, saturation * enlarged(colors, small, light)], 1))

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        content = batch["content"]
        samples = {f"sample {number}": self.stylize(content, sample=number) for number in (1, 2)}
        grey = self.stylize(content, saturation=0.0)
        return {"grey": grey, "typical": self.stylize(content), **samples, "truth": content}


def reveal(ab: Tensor) -> Tensor:
    """Draws hints as a user might give them: none for half of the pictures, and otherwise some squares of their mean colour.

    The number of squares has a geometric distribution with the mean 8, and their sides are from 1 to 9 pixels (Zhang et al.
    2017, section 3.2).

    Args:
        ab: true colours ``(N, 2, H, W)``

    Returns:
        Their colours where there is a hint, otherwise 0, and 1 where there is one ``(N, 3, H, W)``.
    """
    height, width = ab.shape[2:]
    hints = torch.zeros_like(ab[:, :1]).repeat(1, 3, 1, 1)
    for picture, hint in zip(ab, hints, strict=True):
        count = int(torch.empty(()).geometric_(1 / 8)) if torch.rand(()) < 0.5 else 0
        for _ in range(count):
            side, top, left = (int(torch.randint(low, high, ())) for low, high in ((1, 10), (0, height), (0, width)))
            rows, columns = slice(top, top + side), slice(left, left + side)
            hint[:2, rows, columns] = picture[:, rows, columns].mean((1, 2), keepdim=True)
            hint[2, rows, columns] = 1
    return hints


def hinted(layer: Tensor | None, light: Tensor) -> Tensor:
    """The hints of a layer ``(1, 4, H, W)``, which counts where it is more than half opaque.

    Returns:
        a and b, and 1 where there is a hint; otherwise 0 ``(N, 3, H, W)``, as often as the lightness ``(N, 1, h, w)``.
    """
    if layer is None:
        return torch.zeros_like(light).repeat(1, 3, 1, 1)
    there = (layer[:, 3:] > 0.5).to(light)
    return torch.cat([to_lab(layer[:, :3]).to(light)[:, 1:] * there, there], 1).expand(len(light), -1, -1, -1)


@hookimpl
def stylekit_methods() -> dict[str, Callable[..., Method]]:
    return {"colorize": Colorize}
