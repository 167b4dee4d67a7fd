"""WCT: whitening and colouring of an encoder's features, from the deepest layer to the shallowest (Li et al. 2017,
"Universal style transfer via feature transforms").

Training does not involve styles: for each layer, a decoder learns to reconstruct the image from the features. A style is
described by the mean and the covariance of its features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import Method, Part, Player, hookimpl, make, turn
from stylekit.encoders import encode, layer_shapes, mirror_decoder, require_layers
from stylekit.images import pad_to
from stylekit.method import Batch, Statistics, Terms, linear_decay
from stylekit.ops import gram_matrix

RELATIVE, ABSOLUTE = 1e-5, 1e-8
"""Variances below these thresholds, relative to the largest one or absolute, are rounding errors and not raised to 1."""


def statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Computes the mean ``(N, C)`` of features ``(N, C, H, W)``, and the symmetric root ``(N, C, C)`` of their covariance."""
    with _exact(features):
        centred, mean = _centred(features)
        values, axes = _principal(centred)
        return mean, (axes * values.clamp(min=0).sqrt()[:, None]) @ axes.mT


def whiten(features: Tensor) -> Tensor:
    """Transforms features ``(N, C, H, W)`` to mean 0 and covariance 1 (equation 2).

    Directions whose variance is below the threshold are scaled by the same factor as at the threshold. The paper's code
    drops these directions; this is discontinuous, so that rounding errors could change the result.
    """
    with _exact(features):
        centred, _ = _centred(features)
        values, axes = _principal(centred)
        least = (RELATIVE * values[:, -1:]).clamp(min=ABSOLUTE)
        inverse_root = (axes * torch.maximum(values, least).rsqrt()[:, None]) @ axes.mT
        return (inverse_root @ centred.flatten(2)).view_as(features)


def color(white: Tensor, mean: Tensor, root: Tensor) -> Tensor:
    """Gives whitened features ``(N, C, H, W)`` a style's mean ``(N, C)`` and covariance, by its root (equation 3)."""
    with _exact(white):
        return (root @ white.flatten(2)).view_as(white) + mean[..., None, None]


def _centred(features: Tensor) -> tuple[Tensor, Tensor]:
    features = features if features.dtype == torch.float64 else features.float()
    mean = features.mean((2, 3))
    return features - mean[..., None, None], mean


def _principal(centred: Tensor) -> tuple[Tensor, Tensor]:
    """The eigenvalues ``(N, C)`` of the covariance in ascending order, and its eigenvectors ``(N, C, C)`` in columns."""
    covariance = gram_matrix(centred) * centred.shape[1]
    # Raised by a negligible amount, because LAPACK may fail to converge on the rounding errors of constant features.
    offset = ABSOLUTE * torch.eye(centred.shape[1], device=centred.device, dtype=centred.dtype)
    values, axes = torch.linalg.eigh(covariance + offset)
    return values - ABSOLUTE, axes


def _exact(features: Tensor) -> torch.autocast:
    """Disables autocast, because half precision is too coarse for covariances."""
    return torch.autocast(features.device.type, enabled=False)


class WCT(Method):
    """Whitens the content's features and colours them with the style's, layer by layer, from coarse to fine.

    Args:
        encoder: frozen network whose features are transformed
        levels: layers of the encoder to transform; if empty, all
        feature: weight of the squared error of the features in the decoders' training; that of the pixels has weight 1
        lr: learning rate of the decoders (Adam), constant for half of the run, then decaying linearly to 0
    """

    batch_keys = ("content",)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"encoder": {"name": "random", "scales": 2}, "lr": 2e-3},  # needs no weights
    }

    def __init__(
        self,
        encoder: Part = "vgg19-normalised",
        levels: Sequence[str] = (),
        feature: float = 1.0,
        lr: float = 1e-4,
    ) -> None:
        super().__init__()
        self.encoder = make("encoder", encoder)
        layers = dict(sorted(layer_shapes(self.encoder).items(), key=lambda layer: layer[1][1]))  # largest first
        require_layers(levels, layers)
        names, sizes = list(layers), list(layers.values())
        self.stride = sizes[-1][1]
        self.decoders = nn.ModuleDict(
            {name: mirror_decoder(sizes[: names.index(name) + 1]) for name in names if not levels or name in levels}
        )
        self.feature, self.lr = feature, lr

    def players(self) -> dict[str, Player]:
        return {"decoders": Player(self.decoders, lr=self.lr, optimizer=torch.optim.Adam, schedule=linear_decay)}

    def forward(self, batch: Batch) -> dict[str, Any]:
        image = self._padded(batch["content"])
        with torch.no_grad():
            features = self.encoder(image)
        reconstructions = {name: decoder(features[name]) for name, decoder in self.decoders.items()}
        return {"image": image, "features": features, "reconstructions": reconstructions}

    @turn("decoders")
    def reconstruct(self, batch: Batch, made: dict[str, Any]) -> Terms:
        terms = {}
        for name, image in made["reconstructions"].items():  # equation 1
            terms[f"{name}_pixels"] = F.mse_loss(image, made["image"])
            terms[f"{name}_features"] = self.feature * F.mse_loss(self._features(image, name), made["features"][name])
        return terms

    def describe(self, style: Tensor) -> Statistics:
        """Computes the mean ``(N, C)`` of the features of each layer, and the root ``(N, C, C)`` of their covariance."""
        features = self.encoder(pad_to(style, 1, least=self.stride))
        described = {}
        for name in self.decoders:
            described[f"{name}.mean"], described[f"{name}.root"] = statistics(features[name])
        return described

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        image = self._padded(content)
        for name in reversed(list(self.decoders)):
            features = self._features(image, name, half=False)
            colored = color(whiten(features), style[f"{name}.mean"], style[f"{name}.root"])
            blended = torch.lerp(features, colored.to(features.dtype), strength)  # equation 4
            image = self.decoders[name](blended).clamp(0, 1)
        return image[..., : content.shape[-2], : content.shape[-1]]

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        """The content, its reconstruction by each decoder, and the stylised image if the batch has a style."""
        content = batch["content"]
        reconstructions = self(batch)["reconstructions"]
        height, width = content.shape[-2:]
        columns = {"content": content} | {
            name: image[..., :height, :width].clamp(0, 1) for name, image in reconstructions.items()
        }
        if "style" in batch:
            columns |= {"style": batch["style"], "stylised": self.stylize(content, batch["style"])}
        return columns

    def _features(self, image: Tensor, layer: str, half: bool = True) -> Tensor:
        """The features of one layer; deeper ones are not computed, if the encoder supports it."""
        return encode(self.encoder, image, (layer,), half)[layer]

    def _padded(self, image: Tensor) -> Tensor:
        # The deepest features need at least two pixels per side, because of the decoders' reflection padding.
        return pad_to(image, self.stride, least=2 * self.stride)


@hookimpl
def stylekit_methods() -> dict[str, Callable[..., Method]]:
    return {"wct": WCT}
