"""Any style in one pass: a small network in which the style's features give the content's their means and covariances.

The style goes through the same network as the content. At each of its blocks, the means and the covariances of the style's
features are recorded, and those of the content's features are replaced by them, as in Li et al. 2017 ("Universal style
transfer via feature transforms"); but here the network is trained with these steps, and there are many of them. So nothing
about a style has to be predicted, as in networks that are conditioned on a style code (Ghiasi et al. 2017). The colours of
the input and of the output get the style's mean and covariance in the same way.

It is trained by comparing features of VGG-19: those of the content after an instance norm, and the Gram matrices, means and
standard deviations of those of the style, each relative to the style's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from stylekit import Method, Part, Player, hookimpl, turn
from stylekit.encoders import encode, frozen_encoder
from stylekit.layers import Count, Width, require_options
from stylekit.losses import ContentLoss, gram_loss, moments
from stylekit.method import Batch, Capabilities, Statistics, Terms
from stylekit.ops import gram_matrix
from stylekit_plugins.methods.any_style.network import Painter

__all__ = ["AnyStyle"]

VGG: Mapping[str, Any] = {"name": "vgg19", "layers": ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"]}
LARGEST = 4.0
"""The relative error of a layer above which it is cut off: nearly black styles would dominate all others otherwise."""


def cosine(progress: float) -> float:
    """A schedule that rises during the first hundredth, then falls to a twentieth along half a cosine."""
    return min(1.0, 100 * progress + 0.01) * (0.05 + 0.475 * (1 + math.cos(math.pi * progress)))


def dithered(image: Tensor) -> Tensor:
    """The image before it was rounded to 8 bits, perhaps: a crop of a single colour has no other features to match.

    Without it, every match amplifies the rounding errors of the one before, and gradients overflow.
    """
    return image + (torch.rand_like(image) - 0.5) / 255


class AnyStyle(Method):
    """Gives the features of the content the means and covariances of the style's, at every block of a network.

    Args:
        width: channels at a quarter of the image's size, and in the branches of all blocks
        deep: residual blocks at an eighth of the size
        blocks: residual blocks at a quarter of the size
        encoder: network whose features are compared in training
        content_layers: layers of the encoder for the content loss, and their weights
        style_layers: layers for the style loss; by default all
        style: weight of the errors of the Gram matrices
        moments: weight of the errors of means and standard deviations, relative to that of the Gram matrices
        identity: share of the steps in which each content is its own style and should not change
        lr: learning rate (Adam); see :func:`cosine`
        ema: decay of the exponential moving average of the weights, used for samples and the finished model

    Raises:
        StylekitError: an option is below 1, or the encoder has no such layer.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {  # minutes on a CPU, without pretrained weights
            "width": 16,
            "deep": 1,
            "blocks": 1,
            "encoder": {"name": "random", "width": 32, "scales": 3},
            "content_layers": {"scale2": 1.0},
        }
    }
    inference_modules = ("painter",)
    style_modules = ("painter",)
    capabilities = Capabilities(thread_safe=True, blends_statistics=True)
    fine_tuning: ClassVar[Mapping[str, Any]] = {"lr": 3e-4}

    def __init__(
        self,
        width: Width = 64,
        deep: Count = 3,
        blocks: Count = 4,
        encoder: Part = VGG,
        content_layers: Mapping[str, float] = {"relu4_1": 1.0, "relu3_1": 0.5},
        style_layers: tuple[str, ...] = (),
        style: float = 15.0,
        moments: float = 0.25,
        identity: float = 0.125,
        lr: float = 2e-3,
        ema: float | None = 0.999,
    ) -> None:
        super().__init__()
        require_options(width=width, deep=deep, blocks=blocks)
        self.painter = Painter(width, deep, blocks)
        self.encoder_part, self.style_layers = encoder, style_layers
        self.content_loss = ContentLoss(dict(content_layers), normalize=True, eps=1e-5)
        self.style, self.moments, self.identity = style, moments, identity
        self.lr, self.ema = lr, ema

    def prepare(self) -> None:
        self.encoder = frozen_encoder(self.encoder_part)

    def players(self) -> dict[str, Player]:
        adam = torch.optim.Adam
        return {
            "painter": Player(self.painter, self.lr, lambda p, lr: adam(p, lr, (0.9, 0.99)), cosine, 20.0, self.ema)
        }

    def describe(self, style: Tensor) -> Statistics:
        """Describes styles by the mean ``(N, 3)`` and the root ``(N, 3, 3)`` of the covariance of their colours, and by the
        means ``(N, C)`` and the roots ``(N, C, C)`` of their features at each block: see :meth:`Painter.describe`."""
        described: dict[str, Tensor] = self.painter.describe(style)
        return described

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        if strength < 1:  # between the content's own description and the style's
            own = self.describe(content)
            style = {name: torch.lerp(own[name], style[name], strength) for name in own}
        image: Tensor = self.painter(content, style).clamp(0, 1)
        return image

    def forward(self, batch: Batch) -> dict[str, Any]:
        content = batch["content"]
        same = bool(torch.rand(()) < self.identity)
        style = content if same else batch["style"]
        painted = self.painter(dithered(content), self.describe(style))
        with torch.no_grad():
            shown = self._features(content, tuple(self.content_loss.layers))
            wanted = {} if same else self._features(style, self.style_layers)
        return {"painted": painted, "shown": shown, "wanted": wanted}

    def outputs(self, batch: Batch, made: dict[str, Any]) -> dict[str, list[tuple[Tensor, Tensor]]]:
        return {"painter": [(made["painted"], batch["content"])]}

    @turn("painter")
    def paint(self, batch: Batch, made: dict[str, Any]) -> Terms:
        painted, shown, wanted = made["painted"], made["shown"], made["wanted"]
        features = self._features(painted.clamp(0, 1), tuple({**shown, **wanted}))
        terms = {
            "content": self.content_loss(features, self.content_loss.target(shown)).mean(),
            "outside": 10 * (painted - painted.detach().clamp(0, 1)).square().mean(),
        }
        if wanted:
            return {**terms, "style": self.style * self._ramp() * self._style_error(features, wanted)}
        return {**terms, "identity": 100 * (painted - batch["content"]).square().mean()}

    def _ramp(self) -> float:
        """The style loss rises during the first tenth, because little content would be learned under a strong one."""
        return min(1.0, 0.1 + 9 * self.progress)

    def _features(self, image: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
        """Features of some layers in float32; of all if there are none."""
        return {layer: each.float() for layer, each in encode(self.encoder, image, layers or None).items()}

    def _style_error(self, features: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Tensor:
        """The mean error over layers of Gram matrices, and of means and standard deviations, relative to the style's."""
        errors = []
        for layer in wanted:
            gram = gram_loss(gram_matrix(features[layer]), gram_matrix(wanted[layer]))
            pairs = zip(moments(features[layer]), moments(wanted[layer]), strict=True)
            both = [(one - other).square().sum(1) / other.square().sum(1).clamp(min=1e-12) for one, other in pairs]
            errors.append(gram.clamp(max=LARGEST) + self.moments * torch.stack(both).sum(0).clamp(max=LARGEST))
        return torch.stack(errors).mean()


@hookimpl
def stylekit_methods() -> dict[str, Callable[..., Method]]:
    return {"any-style": AnyStyle}
