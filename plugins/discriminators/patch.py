"""Discriminators that score patches or single pixels (Isola et al. 2017, section 3.3 and appendix 6.1.2).

The layers have the same indices as in the paper's PyTorch code, so that its ``latest_net_D_A.pth`` loads unchanged.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from stylekit import hookimpl
from stylekit.layers import (
    Halvings,
    Norm,
    Width,
    activations,
    freeze_redundant_biases,
    init_normal,
    norm_activation,
    require_options,
    with_condition,
)


class Patch(nn.Module):
    """PatchGAN: a score for every overlapping patch of the image.

    Args:
        layers: downsampling layers (3: patches of 70 x 70 pixels)
        width: channels of the first layer
        norm: normalisation
        channels: channels of the images, including those of a condition
    """

    def __init__(self, layers: Halvings = 3, width: Width = 64, norm: Norm = "instance", channels: Width = 3) -> None:
        super().__init__()
        self.sample_independent = norm != "batch"
        require_options(layers=layers, width=width, channels=channels)
        bias = norm == "instance"
        self.min_size = 3 * 2**layers
        stack: list[nn.Module] = [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        widths = [width * min(2**step, 8) for step in range(layers + 1)]
        for step in range(1, layers + 1):
            stride = 2 if step < layers else 1
            stack += [nn.Conv2d(widths[step - 1], widths[step], 4, stride=stride, padding=1, bias=bias)]
            stack += norm_activation("leaky_relu", norm, widths[step])
        stack += [nn.Conv2d(widths[-1], 1, 4, padding=1)]
        self.model = nn.Sequential(*stack)
        init_normal(self)
        freeze_redundant_biases(self)

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Tensor:
        """Returns raw scores ``(N, 1, H', W')`` of images ``(N, C, H, W)`` in [0, 1]; a condition is an image whose channels
        are appended."""
        scores: Tensor = self.model(with_condition(image, condition) * 2 - 1)
        return scores

    def features(self, image: Tensor, condition: Tensor | None = None) -> list[Tensor]:
        """The activations before each convolution except the first, from fine to coarse, each ``(N, channels, H', W')``."""
        return activations(self.model, with_condition(image, condition) * 2 - 1)


class Pixel(nn.Module):
    """A score for every single pixel, which can depend only on its colour.

    Args:
        width: channels of the first layer
        norm: normalisation
        channels: channels of the images, including those of a condition
    """

    def __init__(self, width: Width = 64, norm: Norm = "instance", channels: Width = 3) -> None:
        super().__init__()
        self.sample_independent = norm != "batch"
        require_options(width=width, channels=channels)
        bias = norm == "instance"
        self.net = nn.Sequential(
            nn.Conv2d(channels, width, 1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width, width * 2, 1, bias=bias),
            *norm_activation("leaky_relu", norm, width * 2),
            nn.Conv2d(width * 2, 1, 1, bias=bias),
        )
        init_normal(self)
        freeze_redundant_biases(self)

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Tensor:
        """Returns raw scores ``(N, 1, H, W)`` of images ``(N, C, H, W)`` in [0, 1]; a condition is an image whose channels are
        appended."""
        scores: Tensor = self.net(with_condition(image, condition) * 2 - 1)
        return scores

    def features(self, image: Tensor, condition: Tensor | None = None) -> list[Tensor]:
        """The activations before each convolution except the first, each ``(N, channels, H, W)``."""
        return activations(self.net, with_condition(image, condition) * 2 - 1)


@hookimpl
def stylekit_discriminators() -> dict[str, Callable[..., nn.Module]]:
    return {"patch": Patch, "pixel": Pixel}
