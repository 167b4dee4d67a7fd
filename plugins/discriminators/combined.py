"""Several discriminators as one: at several scales of an image, or of different kinds."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import Part, StylekitError, hookimpl, make
from stylekit.layers import Halvings, Width, require_options, with_condition

Scores = list[Tensor]


def listed(scores: Tensor | Scores) -> Scores:
    return [scores] if isinstance(scores, Tensor) else list(scores)


class Multiscale(nn.Module):
    """Discriminators of one kind, one per scale of the image (Wang et al. 2018, section 3.2).

    Args:
        judge: the discriminator of each scale
        scales: number of scales; each has half the size of the previous one
        channels: channels of the images, including those of a condition
    """

    def __init__(self, judge: Part = "patch", scales: Halvings = 2, channels: Width = 3) -> None:
        super().__init__()
        require_options(scales=scales)
        judges = [make("discriminator", judge, channels=channels) for _ in range(scales)]
        self.judges = nn.ModuleList(judges)
        self.sample_independent = getattr(judges[0], "sample_independent", False)
        self.min_size = getattr(judges[0], "min_size", 1) * 2 ** (scales - 1)

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Scores:
        """Returns the raw scores of each scale, the finest first, of images ``(N, C, H, W)`` in [0, 1]; a condition is an
        image whose channels are appended."""
        pairs = zip(self.judges, self._scales(image, condition), strict=True)
        return [scores for judge, scaled in pairs for scores in listed(judge(scaled))]

    def features(self, image: Tensor, condition: Tensor | None = None) -> list[Tensor]:
        """The feature maps of each scale's discriminator, the finest scale first."""
        pairs = zip(self.judges, self._scales(image, condition), strict=True)
        return [each for judge, scaled in pairs for each in judge.features(scaled)]  # type: ignore[operator]

    def _scales(self, image: Tensor, condition: Tensor | None) -> list[Tensor]:
        scaled = [with_condition(image, condition)]
        for _ in self.judges[1:]:
            scaled.append(F.avg_pool2d(scaled[-1], 3, stride=2, padding=1, count_include_pad=False))
        return scaled


class MultiscaleSN(Multiscale):
    """``patch-sn`` at several scales.

    Args:
        scales: number of networks; each receives the image at half the size of the previous one
        layers: downsampling layers of each network
        width: channels of each network's first layer
        channels: channels of the images, including those of a condition
    """

    def __init__(self, scales: Halvings = 2, layers: Halvings = 3, width: Width = 64, channels: Width = 3) -> None:
        super().__init__({"name": "patch-sn", "layers": layers, "width": width}, scales, channels)


class Several(nn.Module):
    """Discriminators of different kinds, whose scores are averaged like those of several scales.

    Args:
        judges: the discriminators
        channels: channels of the images, including those of a condition
        classes: number of classes, if the discriminators get labels; 0: they get none

    Raises:
        StylekitError: there is no discriminator.
    """

    def __init__(
        self, judges: tuple[Part, ...] = ("patch-sn", "resnet-sn"), channels: Width = 3, classes: int = 0
    ) -> None:
        super().__init__()
        if not judges:
            raise StylekitError("The discriminator 'several' needs at least one, as in judges=[patch-sn, resnet-sn].")
        # Not every discriminator has these options.
        options = {**({"channels": channels} if channels != 3 else {}), **({"classes": classes} if classes else {})}
        made = [make("discriminator", judge, **options) for judge in judges]
        self.judges = nn.ModuleList(made)
        self.sample_independent = all(getattr(judge, "sample_independent", False) for judge in made)
        self.min_size = max(getattr(judge, "min_size", 1) for judge in made)
        self.classes = classes

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Scores:
        """Returns the raw scores of each discriminator, of images ``(N, C, H, W)`` in [0, 1]."""
        given = (image,) if condition is None else (image, condition)
        return [scores for judge in self.judges for scores in listed(judge(*given))]


@hookimpl
def stylekit_discriminators() -> dict[str, Callable[..., nn.Module]]:
    return {"multiscale": Multiscale, "multiscale-sn": MultiscaleSN, "several": Several}
