"""WCT: whitening and colouring of an encoder's features, from its deepest layer up (Li et al. 2017, "Universal style
transfer via feature transforms").

Nothing is learnt of any style: for each layer a decoder learns to make the picture of its features again, and the style
is in the features' mean and covariance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import Method, Part, Player, hookimpl, make, turn
from stylekit.encoders import layer_shapes, mirror_decoder, require_layers
from stylekit.images import pad_to
from stylekit.method import Batch, Statistics, Terms, linear_decay
from stylekit.ops import gram_matrix

RELATIVE, ABSOLUTE = 1e-5, 1e-8
"""Variances that are less, than so much of the greatest or at all, are not raised to 1: they are rounding."""


def statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """The mean ``(N, C)`` of features ``(N, C, H, W)``, and the symmetric root ``(N, C, C)`` of their covariance."""
    with _exact(features):
        centred, mean = _centred(features)
        values, axes = _principal(centred)
        return mean, (axes * values.clamp(min=0).sqrt()[:, None]) @ axes.mT


def whiten(features: Tensor) -> Tensor:
    """Features ``(N, C, H, W)`` with the mean 0 and the covariance 1, where they vary at all (equation 2).

    Where they hardly do, they are raised as much as at the threshold. The paper's code leaves such directions out, which
    is a jump; without one, rounding decides nothing.
    """
    with _exact(features):
        centred, _ = _centred(features)
        values, axes = _principal(centred)
        least = (RELATIVE * values[:, -1:]).clamp(min=ABSOLUTE)
        inverse_root = (axes * torch.maximum(values, least).rsqrt()[:, None]) @ axes.mT
        return (inverse_root @ centred.flatten(2)).view_as(features)


def color(white: Tensor, mean: Tensor, root: Tensor) -> Tensor:
    """White features ``(N, C, H, W)`` with a style's mean ``(N, C)`` and covariance, by its root (equation 3)."""
    with _exact(white):
        return (root @ white.flatten(2)).view_as(white) + mean[..., None, None]


def _centred(features: Tensor) -> tuple[Tensor, Tensor]:
    features = features if features.dtype == torch.float64 else features.float()
    mean = features.mean((2, 3))
    return features - mean[..., None, None], mean


def _principal(centred: Tensor) -> tuple[Tensor, Tensor]:
    """The eigenvalues ``(N, C)`` of a covariance, least first, and its axes ``(N, C, C)``, a column each."""
    covariance = gram_matrix(centred) * centred.shape[1]
    # Lifted by what counts as nothing: LAPACK does not come to an end with what rounding leaves of flat features.
    lift = ABSOLUTE * torch.eye(centred.shape[1], device=centred.device, dtype=centred.dtype)
    values, axes = torch.linalg.eigh(covariance + lift)
    return values - ABSOLUTE, axes


def _exact(features: Tensor) -> torch.autocast:
    """Half precision is too coarse for covariances."""
    return torch.autocast(features.device.type, enabled=False)


class WCT(Method):
    """Whitens the content's features and colours them with the style's, layer by layer, from coarse to fine.

    Args:
        encoder: frozen network whose features are transformed
        levels: layers of the encoder to do it in; all that it gives if empty
        feature: weight of the features' squared error in the decoders' training, beside the pixels'
        lr: learning rate of the decoders (Adam), constant for half of the run, then linearly to zero
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
        pictures = {name: decoder(features[name]) for name, decoder in self.decoders.items()}
        return {"image": image, "features": features, "pictures": pictures}

    @turn("decoders")
    def reconstruct(self, batch: Batch, made: dict[str, Any]) -> Terms:
        terms = {}
        for name, picture in made["pictures"].items():  # equation 1
            terms[f"{name}_pixels"] = F.mse_loss(picture, made["image"])
            terms[f"{name}_features"] = self.feature * F.mse_loss(self.encoder(picture)[name], made["features"][name])
        return terms

    def describe(self, style: Tensor) -> Statistics:
        """The mean ``(N, C)`` of the style's features in each layer, and the root ``(N, C, C)`` of their covariance."""
        features = self.encoder(pad_to(style, 1, least=self.stride))
        described = {}
        for name in self.decoders:
            described[f"{name}.mean"], described[f"{name}.root"] = statistics(features[name])
        return described

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        image = self._padded(content)
        for name in reversed(list(self.decoders)):
            features = self.encoder(image)[name]
            colored = color(whiten(features), style[f"{name}.mean"], style[f"{name}.root"])
            blended = torch.lerp(features, colored.to(features.dtype), strength)  # equation 4
            image = self.decoders[name](blended).clamp(0, 1)
        return image[..., : content.shape[-2], : content.shape[-1]]

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        """The content, what each decoder makes of its features, and the style on it, if the batch has one."""
        content = batch["content"]
        pictures = self(batch)["pictures"]
        height, width = content.shape[-2:]
        columns = {"content": content} | {
            name: image[..., :height, :width].clamp(0, 1) for name, image in pictures.items()
        }
        if "style" in batch:
            columns |= {"style": batch["style"], "stylised": self.stylize(content, batch["style"])}
        return columns

    def _padded(self, image: Tensor) -> Tensor:
        # The deepest features have two pixels a side at least, as the decoders' reflection needs.
        return pad_to(image, self.stride, least=2 * self.stride)


@hookimpl
def stylekit_methods() -> dict[str, Callable[..., Method]]:
    return {"wct": WCT}
