"""Discriminators with spectral normalisation (Miyato et al. 2018): each layer is scaled to a largest singular value of 1.

torch estimates the singular value by power iteration. The vectors of this iteration are buffers, so a resumed run continues
exactly where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from stylekit import StylekitError, hookimpl
from stylekit.layers import Halvings, SelfAttention, Width, activations, require_options, with_condition


def spread(features: Tensor, group: int) -> Tensor:
    """The mean standard deviation of features ``(N, ...)`` within groups of images, ``(N, 1)``: Karras et al. 2018, section
    3."""
    groups = features.split(group)
    means = [(each.var(0, correction=0) + 1e-8).sqrt().mean().expand(len(each)) for each in groups]
    return torch.cat(means)[:, None]


def require_not_negative(**counts: int) -> None:
    for name, count in counts.items():
        if count < 0:
            raise StylekitError(f"The option {name!r} is {count}, but must be at least 0.")


class AppendSpread(nn.Module):
    """Appends the :func:`spread` of each image's group to feature maps ``(N, C, H, W)``, as a further channel."""

    def __init__(self, group: int) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, spread(x, self.group)[..., None, None].expand(-1, -1, *x.shape[2:])], 1)


class PatchSN(nn.Module):
    """PatchGAN with spectral normalisation of every layer instead of instance normalisation.

    Args:
        layers: downsampling layers (3: patches of 70 x 70 pixels)
        width: channels of the first layer
        channels: channels of the images, including those of a condition
        group: number of images among which the standard deviation of the features is compared by a head of two convolutions
            (UVCGANv2, Torbunov et al. 2023), so that images without variety are noticed; 0: no such head

    Raises:
        StylekitError: an option is too small.
    """

    def __init__(self, layers: Halvings = 3, width: Width = 64, channels: Width = 3, group: int = 0) -> None:
        super().__init__()
        self.sample_independent = not group
        require_options(layers=layers, width=width, channels=channels)
        require_not_negative(group=group)
        self.min_size = 3 * 2**layers
        widths = [channels, *(width * min(2**step, 8) for step in range(layers + 1))]
        stack: list[nn.Module] = []
        for step, (before, after) in enumerate(pairwise(widths)):
            stride = 2 if step < layers else 1
            stack += [spectral_norm(nn.Conv2d(before, after, 4, stride, padding=1)), nn.LeakyReLU(0.2, inplace=True)]
        if group:
            stack += [AppendSpread(group), spectral_norm(nn.Conv2d(widths[-1] + 1, widths[-1], 3, padding=1))]
            stack += [nn.LeakyReLU(0.2, inplace=True)]
        self.model = nn.Sequential(*stack, spectral_norm(nn.Conv2d(widths[-1], 1, 3 if group else 4, padding=1)))

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Tensor:
        """Returns raw scores ``(N, 1, H', W')`` of images ``(N, C, H, W)`` in [0, 1]; a condition is an image whose channels
        are appended."""
        scores: Tensor = self.model(with_condition(image, condition) * 2 - 1)
        return scores

    def features(self, image: Tensor, condition: Tensor | None = None) -> list[Tensor]:
        """The activations before each convolution except the first, from fine to coarse, each ``(N, channels, H', W')``."""
        return activations(self.model, with_condition(image, condition) * 2 - 1)


class _Block(nn.Module):
    """Residual block that halves height and width (Gulrajani et al. 2017, appendix F)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.wide = spectral_norm(nn.Conv2d(before, after, 3, padding=1))
        self.deep = spectral_norm(nn.Conv2d(after, after, 3, padding=1))
        self.skip = spectral_norm(nn.Conv2d(before, after, 1))

    def forward(self, x: Tensor) -> Tensor:
        deep: Tensor = self.deep(F.relu(self.wide(F.relu(x))))
        out: Tensor = F.avg_pool2d(deep, 2) + self.skip(F.avg_pool2d(x, 2))
        return out


class ResNetSN(nn.Module):
    """Residual discriminator with one score per image (Miyato et al. 2018, appendix B.4).

    Args:
        blocks: number of residual blocks, each of which halves height and width
        width: channels of the first block; each further block doubles them, up to eight times ``width``
        channels: channels of the images
        classes: number of classes, for a condition of labels (Miyato and Koyama 2018); 0: without a condition
        attention: self-attention after the second block (Zhang et al. 2019)
        group: number of images among which the standard deviation of the features is compared (Karras et al. 2018, section
            3), so that images without variety are noticed; 0: none

    Raises:
        StylekitError: an option is too small, or ``forward`` gets a condition without classes, or none with classes.
    """

    def __init__(
        self,
        blocks: Halvings = 4,
        width: Width = 64,
        channels: Width = 3,
        classes: int = 0,
        attention: bool = False,
        group: int = 0,
    ) -> None:
        super().__init__()
        self.sample_independent = not group
        require_options(blocks=blocks, width=width, channels=channels)
        require_not_negative(classes=classes, group=group)
        self.min_size, self.classes, self.group = 2**blocks, classes, group
        widths = [width * min(2**step, 8) for step in range(blocks)]
        self.first = spectral_norm(nn.Conv2d(channels, width, 3, padding=1))
        self.blocks = nn.Sequential(*(_Block(a, b) for a, b in pairwise([width, *widths])))
        if attention:
            self.blocks.insert(min(2, blocks), SelfAttention(widths[min(2, blocks) - 1], spectral=True))
        self.score = spectral_norm(nn.Linear(widths[-1] + bool(group), 1))
        self.embedding = spectral_norm(nn.Embedding(classes, widths[-1])) if classes else None

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Tensor:
        """Returns raw scores ``(N, 1)`` of images ``(N, C, H, W)`` in [0, 1]; a condition is labels ``(N,)``, whose embedding
        is projected onto the features (Miyato and Koyama 2018, equation 3)."""
        if (condition is None) != (self.embedding is None):
            raise StylekitError(
                f"This discriminator was built for {self.classes} classes, so it must be called with"
                f"{'out' * (not self.classes)} a condition of labels. Change its option 'classes'."
            )
        features = torch.mean(F.relu(self.blocks(self.first(image * 2 - 1))), dim=(2, 3))
        scores: Tensor = self.score(torch.cat([features, spread(features, self.group)], 1) if self.group else features)
        if condition is not None and self.embedding is not None:
            scores = scores + (self.embedding(condition) * features).sum(1, keepdim=True)
        return scores


@hookimpl
def stylekit_discriminators() -> dict[str, Callable[..., nn.Module]]:
    return {"patch-sn": PatchSN, "resnet-sn": ResNetSN}
