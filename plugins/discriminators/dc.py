"""The discriminator of DCGAN (Radford et al. 2016): strided convolutions, and one score per image."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor, nn

from stylekit import hookimpl
from stylekit.layers import Halvings, Norm, ProjectedScore, Width, init_normal, norm_layer, require_options


class DC(nn.Module):
    """Convolutions that halve the image, with a norm after each but the first, and a mean over what is left.

    Args:
        layers: number of halvings
        width: channels of the first layer; each further one has twice as many, up to eight times
        norm: normalisation; ``batch`` in the paper
        channels: channels of the images
        classes: number of classes, for a condition of labels (Miyato and Koyama 2018); 0: without a condition

    Raises:
        StylekitError: an option is too small, or ``forward`` gets a condition without classes, or none with classes.
    """

    def __init__(
        self, layers: Halvings = 4, width: Width = 64, norm: Norm = "batch", channels: Width = 3, classes: int = 0
    ) -> None:
        super().__init__()
        require_options(layers=layers, width=width, channels=channels)
        self.sample_independent = norm != "batch"
        self.min_size, self.classes = 2**layers, classes
        widths = [channels, *(width * min(2**step, 8) for step in range(layers))]
        stack: list[nn.Module] = []
        for step, (before, after) in enumerate(pairwise(widths)):
            stack.append(nn.Conv2d(before, after, 4, 2, padding=1, bias=not step or norm != "batch"))
            stack += [norm_layer(norm, after)] if step else []
            stack.append(nn.LeakyReLU(0.2))
        self.model = nn.Sequential(*stack)
        init_normal(self)
        self.score = ProjectedScore(widths[-1], classes)

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Tensor:
        """Returns raw scores ``(N, 1)`` of images ``(N, C, H, W)`` in [0, 1]; a condition is labels ``(N,)``."""
        scores: Tensor = self.score(self.model(image * 2 - 1).mean((2, 3)), condition)
        return scores


@hookimpl
def stylekit_discriminators() -> dict[str, Callable[..., nn.Module]]:
    return {"dc": DC}
