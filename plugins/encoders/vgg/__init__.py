"""The convolutional layers of VGG as encoders: their features are the usual measure of content and style.

Source: Simonyan and Zisserman 2015, configurations D (VGG-16) and E (VGG-19). The layer ``relu{block}_{number}`` is the
output of that convolution after its ReLU. Weights are those of a file that the user has or has fetched, or for VGG-19 those
of an installed package (see ``stylekit weights list``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stylekit import StylekitError, hookimpl
from stylekit.encoders import require_layers
from stylekit.errors import MissingWeights, suggest
from stylekit.images import pad_to
from stylekit.weights import fetch_hint, load_weights, packaged, pretrained_file, read_state_dict
from stylekit_plugins.encoders.vgg.codebook import MEAN, read_codebook

__all__ = ["VGG16", "VGG19", "VGG19Normalised"]

WIDTHS = (64, 128, 256, 512, 512)
"""Channels of the five blocks, whose sides are 1, 1/2, 1/4, 1/8 and 1/16 of the image's."""
LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
ACTIVATIONS = Path(__file__).parent / "mean_activations.safetensors"
"""The mean activation of each filter of the packaged VGG-19 on photographs; written by ``examples/vgg/mean_activations.py``."""


class VGG(nn.Module):
    """Base class of the encoders: a chain of layers up to the deepest requested one, and the loading of its weights."""

    sample_independent = True
    channels = (3,)
    half_precision = True
    counts: tuple[int, ...]
    """Number of convolutions of each block."""
    published: str
    """The name of the encoder, and of its published weights."""
    package: packaged.Packaged | None = None
    """The package that contains weights of this network, too."""
    mean: Tensor
    """The colour that is subtracted from images; part of the weights, as zero padding adds pixels of this colour."""
    std: Tensor

    def __init__(self, layers: tuple[str, ...] = LAYERS, weights: str | Path | None = None) -> None:
        """Builds the layers, and loads their weights if the file exists.

        Args:
            layers: layers to return; the network ends with the deepest of them
            weights: file of weights (.pth or .safetensors), or "random"; by default the fetched file, or else the installed
                package

        Raises:
            StylekitError: there is no such layer, or the file is damaged or belongs to another network.
        """
        super().__init__()
        known = [f"relu{block}_{n + 1}" for block, count in enumerate(self.counts, 1) for n in range(count)]
        for layer in layers or ("",):
            if layer not in known:
                raise StylekitError(f"The encoder {self.published!r} has no layer {layer!r}. {suggest(layer, known)}")
        self.layers = layers
        depth = max(map(known.index, layers)) + 1
        self.pools: int = int(known[depth - 1][len("relu")]) - 1
        chain = self._chain(depth)
        self._register(chain)
        relus = [index for index, layer in enumerate(chain) if isinstance(layer, nn.ReLU)]
        self.names = dict(zip(relus, known, strict=False))
        self.requires_grad_(False)
        self.register_load_state_dict_post_hook(_check_for_weights)  # type: ignore[no-untyped-call]
        self._load(weights)

    def _chain(self, depth: int) -> list[nn.Module]:
        """The layers up to the convolution of that number."""
        chain: list[nn.Module] = []
        before, count = 3, 0
        for width, convolutions in zip(WIDTHS, self.counts, strict=True):
            for _ in range(min(convolutions, depth - count)):
                chain += [*self._convolution(before, width), nn.ReLU()]
                before, count = width, count + 1
            if count == depth:
                return chain
            chain.append(self._pool())
        return chain

    def _convolution(self, before: int, width: int) -> list[nn.Module]:
        return [_empty(before, width, 3, padding=1)]

    def _pool(self) -> nn.Module:
        return nn.MaxPool2d(2)

    def _register(self, chain: list[nn.Module]) -> None:
        """Registers the layers as submodules, with the names of the published file."""
        self.features = nn.Sequential(*chain)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225])[:, None, None], persistent=False)

    def _layers(self) -> Iterator[nn.Module]:
        return iter(self.features)

    def _min_size(self) -> int:
        """The smallest side of an image that passes through all layers."""
        return 1 << self.pools

    def _normalise(self, image: Tensor) -> Tensor:
        return (image - self.mean) / self.std

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Loads a state. Published ones do not contain the mean."""
        if "mean" in self._buffers:
            state.setdefault(f"{prefix}mean", torch.tensor(IMAGENET_MEAN)[:, None, None])
        super()._load_from_state_dict(state, prefix, *rest)

    def _file_module(self) -> nn.Module:
        """The module whose tensors have the names in the published file."""
        module = nn.Module()
        module.features = self.features
        return module

    def _use_package(self, layers: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """Sets the weights to those of the package, which are given by layer."""
        raise NotImplementedError

    @torch.no_grad()
    def _load(self, weights: str | Path | None) -> None:
        path = pretrained_file(self.published, weights)
        self.missing = ""
        if weights == "random":
            generator = torch.Generator().manual_seed(0)
            for convolution in _convolutions(self):
                std = (2 / convolution.weight[0].numel()) ** 0.5  # preserves the scale of features (He et al. 2015)
                convolution.weight.normal_(0, std, generator=generator)
        elif path is not None and path.is_file():
            load_weights(self._file_module(), path)
        else:
            # Not an error yet: the weights may be loaded from a model file later.
            advice = self._load_package() if path is None else f"There is no file {path}. {fetch_hint(self.published)}"
            self.missing = advice and f"The encoder {self.published!r} has no weights. {advice}"

    def _load_package(self) -> str:
        """Loads the weights of the package. If it is impossible, returns what the user can do."""
        fetch = fetch_hint(self.published)
        if self.package is None:
            return fetch
        otherwise = f"Or {fetch[0].lower()}{fetch[1:]}"
        try:
            path = packaged.packaged_file(self.package)
        except StylekitError as error:
            return f"{error} {otherwise}"
        if path is None:
            return f"Install them with `{self.package.install}` ({self.package.size / 1e6:.0f} MB). {otherwise}"
        self._use_package(read_codebook(path, self.names.values()))
        return ""

    def forward(self, image: Tensor, layers: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Computes features ``(N, channels, h, w)`` by layer.

        Args:
            image: images ``(N, 3, H, W)`` in [0, 1]
            layers: return only these of the encoder's layers; deeper ones are not computed, and others not kept in memory

        Raises:
            StylekitError: the encoder has no such layer.
            MissingWeights: no weights were passed, fetched or loaded. An image on the meta device needs no weights, because
                only shapes are computed.
        """
        if self.missing and not image.is_meta:
            raise MissingWeights(self.missing)
        features: dict[str, Tensor] = {}
        wanted = self.layers if layers is None else layers
        require_layers(wanted, self.names.values())
        x = self._normalise(pad_to(image, 1, self._min_size()))
        for index, layer in enumerate(self._layers()):
            if len(features) == len(set(wanted)):
                break
            x = layer(x)
            if self.names.get(index) in wanted:
                features[self.names[index]] = x
        return {layer: features[layer] for layer in wanted}


def _empty(before: int, width: int, side: int, padding: int = 0) -> nn.Module:
    """A convolution without weights yet. They are all zero, which trained weights never are, even in a saved state."""
    convolution: nn.Module = nn.utils.skip_init(nn.Conv2d, before, width, side, padding=padding)
    for parameter in convolution.parameters():
        nn.init.zeros_(parameter)
    return convolution


def _convolutions(encoder: nn.Module) -> list[nn.Conv2d]:
    return [module for module in encoder.modules() if isinstance(module, nn.Conv2d)]


def _check_for_weights(encoder: VGG, _: Any) -> None:
    """Checks after loading a state whether the encoder has weights now."""
    if all(bool(convolution.weight.any()) for convolution in _convolutions(encoder)):
        encoder.missing = ""


class VGG19(VGG):
    """VGG-19 with zero padding, with torchvision's weights or those of Simonyan and Zisserman from a package. It normalises
    images by the mean and std of its weights itself."""

    counts = (2, 2, 4, 4, 4)
    published = "vgg19"
    package = packaged.VGG19

    def _use_package(self, layers: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        self.mean.copy_(torch.tensor(MEAN)[:, None, None] / 255)
        for convolution, (weight, bias) in zip(_convolutions(self), layers.values(), strict=True):
            convolution.weight.copy_(weight)
            convolution.bias.copy_(bias)  # type: ignore[union-attr]
        _convolutions(self)[0].weight.mul_(255 * self.std)  # images are divided by the std, not multiplied by 255


class VGG16(VGG):
    """VGG-16 with torchvision's weights, with zero padding. It normalises images by ImageNet's mean and std itself."""

    counts = (2, 2, 3, 3, 3)
    published = "vgg16"


class VGG19Normalised(VGG):
    """VGG-19 as AdaIN uses it: with reflection padding, a first layer that accepts images in [0, 1], and filters scaled to
    a mean activation of 1 (Gatys et al. 2015, "Texture synthesis using convolutional neural networks")."""

    counts = (2, 2, 4, 4, 4)
    published = "vgg19-normalised"
    package = packaged.VGG19

    def _chain(self, depth: int) -> list[nn.Module]:
        return [_empty(3, 3, 1), *super()._chain(depth)]

    def _convolution(self, before: int, width: int) -> list[nn.Module]:
        return [nn.ReflectionPad2d(1), _empty(before, width, 3)]

    def _pool(self) -> nn.Module:
        return nn.MaxPool2d(2, ceil_mode=True)

    def _register(self, chain: list[nn.Module]) -> None:
        for index, layer in enumerate(chain):
            self.add_module(str(index), layer)

    def _layers(self) -> Iterator[nn.Module]:
        return self.children()

    def _min_size(self) -> int:
        return (1 << self.pools) + 1  # at least 2 pixels in every layer, which reflection padding needs

    def _normalise(self, image: Tensor) -> Tensor:
        return image  # the first layer normalises

    def _file_module(self) -> nn.Module:
        return self

    def _use_package(self, layers: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        first, *rest = _convolutions(self)
        first.weight.copy_(255 * torch.eye(3)[..., None, None])
        first.bias.copy_(-torch.tensor(MEAN))  # type: ignore[union-attr]
        # A ReLU and a maximum scale with their inputs, so each filter is divided by its mean activation, and the next
        # layer's inputs are multiplied by it again (Gatys et al. 2015).
        activations, before = read_state_dict(ACTIVATIONS), torch.ones(3)
        for convolution, (layer, (weight, bias)) in zip(rest, layers.items(), strict=True):
            mean = activations[layer]
            convolution.weight.copy_(weight * before[:, None, None] / mean[:, None, None, None])
            convolution.bias.copy_(bias / mean)  # type: ignore[union-attr]
            before = mean


@hookimpl
def stylekit_encoders() -> dict[str, Callable[..., nn.Module]]:
    return {"vgg16": VGG16, "vgg19": VGG19, "vgg19-normalised": VGG19Normalised}
