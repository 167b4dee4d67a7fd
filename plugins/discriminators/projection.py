"""A patch discriminator for classes, with a projection of the label (Miyato and Koyama 2018, equation 3)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from stylekit import StylekitError, hookimpl
from stylekit.layers import Halvings, Width, activations, require_options


class Projection(nn.Module):
    """``patch-sn`` whose score of each patch depends on the label, by an inner product with the features of the patch.

    Args:
        classes: number of classes
        layers: downsampling layers
        width: channels of the first layer
        channels: channels of the images

    Raises:
        StylekitError: an option is too small, or ``forward`` gets no labels.
    """

    def __init__(self, classes: Width = 2, layers: Halvings = 3, width: Width = 64, channels: Width = 3) -> None:
        super().__init__()
        self.sample_independent = True
        require_options(classes=classes, layers=layers, width=width, channels=channels)
        self.min_size, self.classes = 3 * 2**layers, classes
        widths = [channels, *(width * min(2**step, 8) for step in range(layers + 1))]
        stack: list[nn.Module] = []
        for step, (before, after) in enumerate(pairwise(widths)):
            stride = 2 if step < layers else 1
            stack += [spectral_norm(nn.Conv2d(before, after, 4, stride, padding=1)), nn.LeakyReLU(0.2, inplace=True)]
        self.model = nn.Sequential(*stack)
        self.score = spectral_norm(nn.Conv2d(widths[-1], 1, 4, padding=1))
        self.embedding = spectral_norm(nn.Embedding(classes, widths[-1]))

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Tensor:
        """Returns raw scores ``(N, 1, H', W')`` of images ``(N, C, H, W)`` in [0, 1], given labels ``(N,)``."""
        if condition is None:
            raise StylekitError("The discriminator 'projection' needs labels: use it in a method with classes.")
        features: Tensor = self.model(image * 2 - 1)
        scores: Tensor = self.score(features)
        inner: Tensor = (self.embedding(condition)[:, :, None, None] * features).sum(1, keepdim=True)
        return scores + inner[..., : scores.shape[2], : scores.shape[3]]

    def features(self, image: Tensor, condition: Tensor | None = None) -> list[Tensor]:
        """The activations before each convolution except the first, from fine to coarse, each ``(N, channels, H', W')``."""
        return activations(nn.Sequential(*self.model, self.score), image * 2 - 1)


@hookimpl
def stylekit_discriminators() -> dict[str, Callable[..., nn.Module]]:
    return {"projection": Projection}
