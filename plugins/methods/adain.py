"""AdaIN: any style from one image, in one pass (Huang and Belongie 2017, "Arbitrary style transfer in real-time with
adaptive instance normalization").

The deepest features of a frozen encoder are normalised to the style's mean and standard deviation, and a decoder is trained
to turn them into an image. Equation numbers refer to the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from stylekit import Method, Part, Player, StylekitError, hookimpl, make, turn
from stylekit.encoders import encode, layer_shapes, mirror_decoder, require_layers
from stylekit.images import pad_to
from stylekit.losses import StyleLoss, feature_loss, moments, total_variation
from stylekit.method import Batch, Statistics, Terms
from stylekit.ops import adain_with

__all__ = ["AdaIN"]

EPS = 1e-5


def decay(progress: float) -> float:
    """The schedule of the paper's code: ``1 / (1 + 5e-5 * step)`` over its 160,000 steps."""
    return 1 / (1 + 8 * progress)


class AdaIN(Method):
    """A decoder generates images from content features with the style's mean and standard deviation.

    Args:
        encoder: frozen network whose features are used
        layers: layers of the encoder for the style loss, from shallow to deep; the last one is transformed. By default all
        style: weight of the style loss
        content: weight of the content loss
        total_variation: weight of the mean squared difference of neighbouring pixels; not in the paper
        lr: initial learning rate of the decoder (Adam); it decays to a ninth
        unbiased: divide variances by the number of pixels minus one, as in the training of pytorch-AdaIN's weights

    Raises:
        StylekitError: the encoder has no such layer, or a layer is not a feature map.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"encoder": {"name": "random", "width": 64, "side": 5, "scales": 2}, "lr": 1e-3},  # needs no weights
    }
    inference_modules = ("encoder", "decoder")

    def __init__(
        self,
        encoder: Part = "vgg19-normalised",
        layers: tuple[str, ...] | None = None,
        style: float = 10.0,
        content: float = 1.0,
        total_variation: float = 0.0,
        lr: float = 1e-4,
        unbiased: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = make("encoder", encoder)
        known = layer_shapes(self.encoder)
        self.layers = layers or tuple(known)
        require_layers(self.layers, known)
        self.stride = known[self.layers[-1]][1]
        self.decoder = mirror_decoder([known[layer] for layer in self.layers])
        self.style, self.content, self.total_variation, self.lr = style, content, total_variation, lr
        self.unbiased = unbiased
        self.style_loss = StyleLoss(dict.fromkeys(self.layers, 1.0), "moments", eps=EPS, unbiased=unbiased)

    def players(self) -> dict[str, Player]:
        return {"decoder": Player(self.decoder, lr=self.lr, optimizer=torch.optim.Adam, schedule=decay)}

    def forward(self, batch: Batch) -> dict[str, Any]:
        with torch.no_grad():
            style = self.style_loss.target(self.encoder(batch["style"]))
            deepest = self.layers[-1]
            target = self._adapted(batch["content"], style[f"{deepest}.mean"], style[f"{deepest}.std"])
        image = self.decoder(target)
        return {"target": target, "style": style, "image": image, "features": encode(self.encoder, image)}

    def outputs(self, batch: Batch, made: dict[str, Any]) -> dict[str, list[tuple[Tensor, Tensor]]]:
        height, width = batch["content"].shape[-2:]
        return {"decoder": [(made["image"][..., :height, :width], batch["content"])]}

    @turn("decoder")
    def decode(self, batch: Batch, made: dict[str, Any]) -> Terms:
        """Equations 11 to 13, with means instead of sums of the squared differences, as in the paper's code."""
        features = made["features"]
        terms = {
            "content": self.content * feature_loss(features[self.layers[-1]], made["target"]).mean(),
            "style": self.style * self.style_loss(features, made["style"]).mean(),
        }
        if self.total_variation:
            terms["total_variation"] = self.total_variation * total_variation(made["image"]).mean()
        return terms

    def describe(self, style: Tensor) -> dict[str, Tensor]:
        """Computes the means and standard deviations ``(N, C)`` of the deepest layer's channels."""
        mean, std = moments(self._deepest(style), EPS, self.unbiased)
        return {"mean": mean, "std": std}

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        """Equation 14. With averaged statistics it is equation 15, because features depend linearly on the statistics."""
        height, width = content.shape[-2:]
        image: Tensor = self.decoder(self._adapted(content, style["mean"], style["std"], strength))
        return image[..., :height, :width].clamp(0, 1)

    def _deepest(self, image: Tensor) -> Tensor:
        """The features to transform. If the encoder supports it, the larger, shallow features are not kept in memory."""
        return encode(self.encoder, image, self.layers[-1:], half=False)[self.layers[-1]]

    def _adapted(self, content: Tensor, mean: Tensor, std: Tensor, strength: float = 1.0) -> Tensor:
        """The deepest features of the content with the statistics of the style (equation 8)."""
        # At least two strides per side, because of the decoder's reflection padding.
        features = self._deepest(pad_to(content, self.stride, 2 * self.stride))
        return adain_with(features, mean, std, EPS, strength, self.unbiased)

    @classmethod
    def import_weights(cls, files: Mapping[str, Mapping[str, Tensor]]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Reads ``decoder.pth`` and ``vgg_normalised.pth`` of pytorch-AdaIN, distinguished by their first convolution."""
        first = {"encoder": ("0.weight", (3, 3, 1, 1)), "decoder": ("1.weight", (256, 512, 3, 3))}
        states: dict[str, Mapping[str, Tensor]] = {}
        for file, state in files.items():
            parts = [part for part, (key, shape) in first.items() if key in state and state[key].shape == shape]
            if not parts or parts[0] in states:
                raise StylekitError(
                    f"{Path(file).name} is {'a second ' + parts[0] if parts else 'neither of the two files'} of "
                    "pytorch-AdaIN. Pass decoder.pth and vgg_normalised.pth."
                )
            states[parts[0]] = state
        for part, name in (("decoder", "decoder.pth"), ("encoder", "vgg_normalised.pth")):
            if part not in states:
                raise StylekitError(
                    f"The {part}, {name}, is missing. Pass decoder.pth and vgg_normalised.pth together."
                )
        used = {f"{index}.{leaf}" for index in range(31) for leaf in ("weight", "bias")}  # up to relu4_1
        state = {f"encoder.{key}": tensor for key, tensor in states["encoder"].items() if key in used}
        state |= {f"decoder.{key}": tensor for key, tensor in states["decoder"].items()}
        return {"encoder": "vgg19-normalised", "unbiased": True}, state


@hookimpl
def stylekit_methods() -> dict[str, Callable[..., Method]]:
    return {"adain": AdaIN}
