"""Layers and weight initialisation shared by generators and discriminators."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

import pydantic
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from stylekit.errors import StylekitError
from stylekit.ops import Activation, instance_norm

__all__ = [
    "BlurDown",
    "Count",
    "Halvings",
    "InstanceNorm",
    "Margin",
    "NarrowConv2d",
    "Norm",
    "PlainResidual",
    "ProjectedScore",
    "SelfAttention",
    "Steps",
    "Upsample",
    "Width",
    "activations",
    "freeze_redundant_biases",
    "init_normal",
    "modulated",
    "narrow_conv2d",
    "norm_activation",
    "norm_layer",
    "require_options",
    "resize_conv",
    "widths_by_scale",
    "with_condition",
]

Count = Annotated[int, pydantic.Field(ge=1, le=1000)]
"""The type of an option that is a number of layers or blocks: from 1 to 1000. A received file cannot ask for more."""
Width = Annotated[int, pydantic.Field(ge=1, le=10_000)]
"""The type of an option that is a number of channels: from 1 to 10,000."""
Halvings = Annotated[int, pydantic.Field(ge=1, le=16)]
"""The type of an option that says how often an image is halved: from 1 to 16, after which 65,536 pixels are one."""
Steps = Annotated[int, pydantic.Field(ge=1, le=100_000)]
"""The type of an option that is a number of steps for each image: from 1 to 100,000."""
Margin = Annotated[int, pydantic.Field(ge=0, le=64)]
"""The type of an option that is a number of pixels around an image: from 0 to 64, which leaves room for images in tiles."""
Norm = Literal["instance", "batch", "none"]
Upsample = Literal["transpose", "resize"]


class InstanceNorm(nn.Module):
    """Instance normalisation without parameters (Ulyanov et al. 2016), fused with the operations that follow it.

    Args:
        activation: applied to the result: ``none``, ``relu``, or ``leaky_relu`` of slope 0.2
    """

    def __init__(self, activation: Activation = "none") -> None:
        super().__init__()
        self.activation: Activation = activation

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Normalises each channel of each image ``(N, C, H, W)`` to mean 0 and std 1, then adds the residual."""
        return instance_norm(x, activation=self.activation, residual=residual)

    def extra_repr(self) -> str:
        return self.activation


def narrow_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A convolution with few output channels, such as those of an image, and stride 1; about twice as fast on a CPU.

    A k x k convolution to C channels is computed as a 1 x k convolution to C k channels, C for each row of the kernel. The
    results are shifted by their row and summed. The number of operations is the same, but C k channels fill the vector
    registers, while C channels do not.

    Args:
        x: ``(N, C', H, W)``
        weight: ``(C, C', k, k)``
        bias: ``(C,)``

    Returns:
        ``(N, C, H - k + 1, W - k + 1)``, as ``torch.nn.functional.conv2d`` does.
    """
    if x.device.type != "cpu":
        return F.conv2d(x, weight, bias)
    channels, _, rows, _ = weight.shape
    each_row = weight.permute(2, 0, 1, 3).flatten(0, 1).unsqueeze(2)
    parts = F.conv2d(x, each_row).unflatten(1, (rows, channels))
    height = parts.shape[3] - rows + 1
    # Summed in float32, because half precision would round after every row.
    out: Tensor = parts[:, 0, :, :height].to(torch.promote_types(parts.dtype, torch.float32), copy=True)
    for row in range(1, rows):
        out += parts[:, row, :, row : row + height]
    if bias is not None:
        out += bias[:, None, None]
    return out.to(parts.dtype)


class NarrowConv2d(nn.Conv2d):
    """A convolution with few output channels, computed by :func:`narrow_conv2d`."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolves ``(N, C, H, W)`` to ``(N, out_channels, H - k + 1, W - k + 1)``."""
        return narrow_conv2d(x, self.weight, self.bias)


def require_options(dropout: float = 0.0, **counts: int) -> None:
    """Checks options that every network has in common.

    Raises:
        StylekitError: a count is below 1, or dropout is not in [0, 1); the message names the option and its value.
    """
    for name, value in counts.items():
        if value < 1:
            raise StylekitError(f"The option {name!r} is {value}, but must be at least 1.")
    if not 0 <= dropout < 1:
        raise StylekitError(f"The option 'dropout' is {dropout}, but must be at least 0 and below 1.")


def widths_by_scale(side: int, width: int, start: int = 4) -> list[int]:
    """Channels of a generator that doubles its features until they have the side of the image, from coarse to fine.

    Args:
        side: side of the images
        width: channels at the finest scale; each coarser one has twice as many, up to eight times
        start: side of the first features, a power of two

    Raises:
        StylekitError: ``side`` is not a power of two from ``2 * start`` to 1024.
    """
    if side < 2 * start or side > 1024 or side & (side - 1):
        raise StylekitError(f"The option 'side' is {side}, but must be a power of two from {2 * start} to 1024.")
    steps = (side // start).bit_length() - 1
    return [width * min(2**step, 8) for step in range(steps, -1, -1)]


class ProjectedScore(nn.Module):
    """A linear score of features, plus their inner product with the embedding of a label (Miyato and Koyama 2018, equation 3).

    Args:
        width: number of features
        classes: number of classes; 0: there are no labels

    Raises:
        StylekitError: ``classes`` is negative, or there are labels without classes, or none with classes.
    """

    def __init__(self, width: int, classes: int = 0) -> None:
        super().__init__()
        if classes < 0:
            raise StylekitError(f"The option 'classes' is {classes}, but must be at least 0.")
        self.score, self.classes = nn.Linear(width, 1), classes
        self.embedding = nn.Embedding(classes, width) if classes else None

    def forward(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """Scores ``(N, 1)`` of features ``(N, C)``, given labels ``(N,)`` if there are classes."""
        if (labels is None) != (self.embedding is None):
            raise StylekitError(
                f"This discriminator was built for {self.classes} classes, so it must be called with"
                f"{'out' * (not self.classes)} a condition of labels. Change its option 'classes'."
            )
        scores: Tensor = self.score(features)
        if labels is not None and self.embedding is not None:
            scores = scores + (self.embedding(labels) * features).sum(1, keepdim=True) / features.shape[1] ** 0.5
        return scores


class PlainResidual(nn.Module):
    """A residual block without normalisation: 1 x 1, grouped 3 x 3 and 1 x 1 convolutions (Huang et al. 2024, "R3GAN").

    The last convolution starts at 0, and the others are scaled for the depth of the network, as in Zhang et al. 2019
    ("Fixup"), so that the variance of features does not grow from block to block.

    Args:
        width: number of channels
        depth: number of blocks of the network
        group: channels of each group of the 3 x 3 convolution
    """

    def __init__(self, width: int, depth: int = 1, group: int = 16) -> None:
        super().__init__()
        groups = max(1, width // group) if width % group == 0 else 1
        self.first = nn.Conv2d(width, width, 1, bias=False)
        self.middle = nn.Conv2d(width, width, 3, padding=1, groups=groups, bias=False)
        self.last = nn.Conv2d(width, width, 1, bias=False)
        self.biases = nn.ParameterList(torch.zeros(width, 1, 1) for _ in range(2))
        for conv in (self.first, self.middle):
            nn.init.kaiming_normal_(conv.weight, 0.2, nonlinearity="leaky_relu")
            with torch.no_grad():
                conv.weight.mul_(depth**-0.25)
        nn.init.zeros_(self.last.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Adds a change to features ``(N, C, H, W)``."""
        y = F.leaky_relu(self.first(F.leaky_relu(x, 0.2)) + self.biases[0], 0.2)
        changed: Tensor = x + self.last(F.leaky_relu(self.middle(y) + self.biases[1], 0.2))
        return changed


class SelfAttention(nn.Module):
    """Every position attends to all others (Zhang et al. 2019, "Self-attention generative adversarial networks", equation 2).

    The result is scaled by a learned factor that starts at 0, and added. Keys and values belong to the largest features of
    2 x 2 positions, so the memory is a quarter of the squared number of positions.

    Args:
        width: number of channels
        spectral: normalise the weights by their largest singular value, for discriminators
    """

    def __init__(self, width: int, spectral: bool = False) -> None:
        super().__init__()
        inner, norm = max(1, width // 8), spectral_norm if spectral else nn.Identity()

        def conv(before: int, after: int) -> nn.Module:
            made: nn.Module = norm(nn.Conv2d(before, after, 1, bias=False))
            return made

        self.query, self.key = conv(width, inner), conv(width, inner)
        self.value, self.back = conv(width, max(1, width // 2)), conv(max(1, width // 2), width)
        self.share = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Adds to features ``(N, C, H, W)`` what their positions attend to."""
        smaller = F.max_pool2d(x, 2, ceil_mode=True)
        query = self.query(x).flatten(2).mT[:, None]
        key, value = (each(smaller).flatten(2).mT[:, None] for each in (self.key, self.value))
        attended = F.scaled_dot_product_attention(query, key, value, scale=1.0)[:, 0]
        back: Tensor = self.back(attended.mT.unflatten(2, x.shape[2:]))
        return x + self.share * back


def resize_conv(before: int, after: int, bias: bool = True) -> nn.Sequential:
    """Upsampling by 2 and a convolution; unlike a transposed convolution, it causes no checkerboard artefacts.

    Source: Odena et al. 2016.
    """
    conv = NarrowConv2d if after <= 4 else nn.Conv2d
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.ReflectionPad2d(1), conv(before, after, 3, bias=bias))


class BlurDown(nn.Module):
    """Halves height and width, after a blur that keeps frequencies from folding back (Zhang 2019, "Making convolutional
    networks shift-invariant again"): filters of 1, 2, 1 with reflected margins.

    Doubling with the matching filters of 1, 3, 3, 1 is bilinear interpolation.

    Args:
        channels: channels of the features
    """

    filter: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        line = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("filter", torch.outer(line, line).expand(channels, 1, 3, 3).clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Halves features ``(N, C, H, W)``; odd sides are rounded up."""
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.filter, stride=2, groups=len(self.filter))


def norm_layer(norm: Norm, width: int) -> nn.Module:
    """A normalisation layer for ``width`` channels: instance norm without parameters, batch norm with, or the identity."""
    if norm == "instance":
        return InstanceNorm()
    return nn.BatchNorm2d(width) if norm == "batch" else nn.Identity()


def norm_activation(activation: Activation, norm: Norm, width: int) -> list[nn.Module]:
    """Two layers: normalisation and activation. An instance norm does both, followed by an identity.

    The number of layers is always two, so that the indices of the following layers do not depend on the norm.
    """
    if norm == "instance":
        return [InstanceNorm(activation), nn.Identity()]
    act = {"none": nn.Identity(), "relu": nn.ReLU(inplace=True), "leaky_relu": nn.LeakyReLU(0.2, inplace=True)}
    return [norm_layer(norm, width), act[activation]]


def freeze_redundant_biases(network: nn.Module) -> None:
    """Freezes the biases of convolutions that are followed by an instance norm, which removes them.

    The gradient of such a bias is only rounding error, which Adam would amplify to steps of the full learning rate.
    """
    for stack in network.modules():
        if isinstance(stack, nn.Sequential):
            for before, after in pairwise(stack):
                last = list(before.modules())[-1]
                if (
                    isinstance(after, InstanceNorm)
                    and isinstance(last, nn.Conv2d | nn.ConvTranspose2d)
                    and last.bias is not None
                ):
                    last.bias.requires_grad_(False)


def with_condition(image: Tensor, condition: Tensor | None) -> Tensor:
    """Concatenates an image and the image that it is conditioned on, if any, along the channels: ``(N, C + C', H, W)``."""
    return image if condition is None else torch.cat([image, condition], 1)


def modulated(image: Tensor, values: Tensor) -> Tensor:
    """The image, and the image times each value, for a network that depends on the values.

    Planes of the values would not do: an instance norm after the first convolution removes what is the same everywhere.

    Args:
        image: ``(N, C, H, W)``
        values: ``(N, K)``, or ``(1, K)`` for all images

    Returns:
        ``(N, C * (1 + K), H, W)``, the image first.
    """
    products = image[:, None] * values.to(image)[:, :, None, None, None]
    return torch.cat([image, products.flatten(1, 2)], 1)


def activations(network: nn.Sequential, x: Tensor) -> list[Tensor]:
    """The inputs of all convolutions of a sequence except the first, from shallow to deep, for feature matching."""
    inputs: list[Tensor] = []
    first = True
    for layer in network:
        if isinstance(layer, nn.Conv2d) and not first:
            inputs.append(x)
        first = first and not isinstance(layer, nn.Conv2d)
        x = layer(x)
    return inputs


def init_normal(network: nn.Module, std: float = 0.02) -> None:
    """Draws convolution and linear weights from N(0, std) and batch-norm scales from N(1, std), and sets biases to zero.

    Source: Radford et al. 2016, section 4, as in CycleGAN and pix2pix.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, std)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, std)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
