"""Style transfer by optimisation of the image (Gatys, Ecker and Bethge 2016).

The features of the image should match those of the content, and their Gram matrices those of the style. Three details differ
from the paper. Errors are relative, so that weights have about the same effect for every layer of every encoder. The content
features are compared after an instance norm, because the means and standard deviations of channels describe the style
(Huang and Belongie 2017). And the image is optimised at a low resolution first, then at higher ones (Gatys et al. 2017,
section 6).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from stylekit import Method, Part, StylekitError, hookimpl, load, make
from stylekit.encoders import default_encoder, encode, require_layers
from stylekit.errors import NotFinite
from stylekit.images import pad_to
from stylekit.layers import Halvings, Steps, require_options
from stylekit.losses import ContentLoss, StyleLoss, color_moments, gram_loss, total_variation
from stylekit.method import OptimizingMethod, Stage, Statistics, halved

__all__ = ["Gatys"]

COARSEST = 128
"""Minimum side of an image at a coarser level: in smaller ones, the style's large shapes would replace the content's."""
STARTER = "stylekit-any"
START = 0.98
"""Part of the range of values that an image starts in, because at black and white the gradient of the sine is 0."""

Maps = Mapping[str, Tensor]


class Gatys(OptimizingMethod):
    """Optimises the image for each content and style. This is slow, but works with any encoder and needs no training.

    A style is described by Gram matrices. Their weighted averages are also styles, because the gradient of a weighted sum of
    squared errors to several targets equals that of the error to the average of the targets.

    Args:
        encoder: network whose features are compared; by default VGG-19 if there are weights of it, otherwise random filters
        content_layers: layers for the content loss; if empty, the last but one, which is relu4_1 by default
        style_layers: layers for the style loss; if empty, all
        content_weight: weight of the mean squared error of the features; 0 generates textures without content
        style_weight: weight of the error of the Gram matrices
        color_weight: weight of the error of the colours' means and covariances; 0 in the paper
        total_variation: weight of the mean squared difference of neighbouring pixels, which reduces noise; 0 in the paper
        optimizer: lbfgs, or adam, which needs several times as many steps, but less memory
        steps: total number of evaluations of the loss, over all levels
        init: the initial image; ``model`` is what the model that ships makes of the content and the style
        levels: maximum number of sizes at which the image is optimised: ..., a quarter, a half and finally the full size, as
            long as the shorter side has 128 pixels; 1 in the paper
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "encoder": {
                "name": "vgg19",
                "layers": ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1"),
            },
            "content_layers": ("relu4_2",),
            "style_layers": ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
            "color_weight": 0.0,
            "total_variation": 0.0,
            "init": "noise",
            "levels": 1,
        },
        "tiny": {"encoder": {"name": "random", "scales": 3, "width": 16}, "steps": 6, "levels": 2},
    }

    def __init__(
        self,
        encoder: Part | None = None,
        content_layers: Sequence[str] = (),
        style_layers: Sequence[str] = (),
        content_weight: float = 1.0,
        style_weight: float = 8.0,
        color_weight: float = 10.0,
        total_variation: float = 3.0,
        optimizer: Literal["lbfgs", "adam"] = "lbfgs",
        steps: Steps = 300,
        init: Literal["content", "noise", "model"] = "content",
        levels: Halvings = 4,
    ) -> None:
        super().__init__()
        require_options(steps=steps, levels=levels)
        if encoder is None:
            self.arguments["encoder"], self.encoder = default_encoder()
        else:
            self.encoder = make("encoder", encoder)
        self.style_loss = StyleLoss(tuple(style_layers))
        self.content_layers, self.style_layers = tuple(content_layers), tuple(style_layers)
        self.content_weight, self.style_weight = content_weight, style_weight
        self.color_weight, self.total_variation = color_weight, total_variation
        self.optimizer, self.steps, self.init, self.levels = optimizer, steps, init, levels
        self.starter = load(STARTER, "cpu").method if init == "model" else None

    def describe(self, style: Tensor) -> Statistics:
        """Computes the Gram matrices ``(N, C, C)`` of every layer at every level, named ``level{0, 1, ...}.{layer}``.

        ``level{...}.colors`` are those of red, green, blue and 1: the first and second moments of the colours. If the image
        starts from the model that ships, ``model.{...}`` are what that needs.

        Raises:
            StylekitError: the encoder has no such layer.
        """
        statistics: dict[str, Tensor] = {}
        for level in range(self.levels):
            image = halved(style, level)
            grams = self._grams(image, self._features(image))
            statistics |= {f"level{level}.{name}": gram for name, gram in grams.items()}
        if self.starter is not None:
            statistics |= {f"model.{name}": value for name, value in self.starter.describe(style).items()}
        return statistics

    def stages(self, height: int, width: int) -> list[Stage]:
        """The levels whose shorter side has at least 128 pixels, and the full size. The steps are divided equally."""
        levels = [level for level in range(self.levels) if not level or min(height, width) >> level >= COARSEST]
        done, stages = 0, []
        for remaining, level in reversed(list(enumerate(levels, 1))):
            stages.append(Stage(level, (self.steps - done) // remaining))
            done += stages[-1].steps
        return stages

    def objective(
        self, content: Tensor, style: Statistics, strength: float = 1.0, level: int = 0
    ) -> Callable[[Tensor], Tensor]:
        """The loss. A ``strength`` below 1 moves the target Gram matrices towards those of the content.

        Raises:
            StylekitError: the encoder has no such layer, or the style was described with other layers or levels.
        """
        shown, grams = self._targets(content, style, level, strength)
        return partial(self.loss, shown=shown, grams=grams)

    @torch.no_grad()
    def begin(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        """The initial image, as the option ``init`` says."""
        if self.starter is None:
            return torch.rand_like(content) if self.init == "noise" else content
        described = {name.removeprefix("model."): value for name, value in style.items() if name.startswith("model.")}
        return self.starter.transfer(content, described, strength)

    def loss(self, image: Tensor, shown: Maps, grams: Maps) -> Tensor:
        """The loss to minimise, one value per image, ``(N,)``.

        Args:
            image: images ``(N, 3, H, W)``
            shown: the content's instance-normalised features by layer, with N rows
            grams: the target Gram matrices by layer, with N rows or one, and those of the ``colors``
        """
        features = self._features(image)
        return (
            self.content_weight * self._content_loss(features)(features, shown)
            + self.style_weight * self.style_loss(features, grams)
            + self.color_weight * gram_loss(color_moments(image), grams["colors"])
            + self.total_variation * total_variation(image)
        )

    @torch.no_grad()
    def _targets(self, content: Tensor, style: Statistics, level: int, strength: float) -> tuple[Maps, Maps]:
        """The ``shown`` and the ``grams`` of :meth:`loss`."""
        features = self._features(content)
        grams = _grams_at(level, style, (*(self.style_layers or features), "colors"))
        if strength != 1:
            own = self._grams(content, features)
            grams = {name: torch.lerp(own[name], gram.expand_as(own[name]), strength) for name, gram in grams.items()}
        return self._content_loss(features).target(features), grams

    def _features(self, image: Tensor) -> Maps:
        features: Maps = encode(self.encoder, pad_to(image, 1, getattr(self.encoder, "min_size", 1)))
        require_layers((*self.content_layers, *self.style_layers), features)
        return features

    def _content_loss(self, features: Maps) -> ContentLoss:
        """Compares the features regardless of colours and contrasts."""
        names = tuple(features)
        return ContentLoss(self.content_layers or names[-2:-1] or names, normalize=True)

    def _grams(self, image: Tensor, features: Maps) -> dict[str, Tensor]:
        return {**self.style_loss.target(features), "colors": color_moments(image)}

    def descend(
        self,
        image: Tensor,
        objective: Callable[[Tensor], Tensor],
        steps: int,
        on_step: Callable[[int, Tensor], None] = lambda step, image: None,
    ) -> Tensor:
        """Optimises the angles of the image ``(1 + sin(angle)) / 2``, which stays in [0, 1].

        Raises:
            NotFinite: the loss became NaN or infinite.
        """
        angle = ((2 * image - 1) * START).asin().detach().contiguous().requires_grad_(True)  # L-BFGS calls view()
        optimizer = self._optimizer(angle, steps)
        count = 0

        def evaluate() -> float:
            nonlocal count
            count += 1
            optimizer.zero_grad()
            now = (1 + angle.sin()) / 2
            # A sum over pixels, because torch's L-BFGS ignores gradients below an absolute threshold.
            value = objective(now).sum() * image[0].numel()
            if not value.isfinite():
                raise NotFinite("The loss of gatys is not finite. Try optimizer=adam or smaller weights.")
            value.backward()
            if count <= steps:  # L-BFGS may exceed it to finish a line search
                on_step(count, now.detach())
            return float(value.detach())

        while count < steps:
            optimizer.step(evaluate)
        return (1 + angle.detach().sin()) / 2

    def _optimizer(self, angle: Tensor, steps: int) -> torch.optim.Optimizer:
        if self.optimizer == "adam":
            return torch.optim.Adam([angle], lr=0.05)
        # All steps run in one call, because each call costs an extra evaluation. The line search rarely needs more than one
        # evaluation per direction. Without it, steps may be so long that the sine wraps around and only noise is left.
        return torch.optim.LBFGS(
            [angle],
            max_iter=steps,
            max_eval=steps,
            history_size=5,
            tolerance_grad=0.0,
            tolerance_change=0.0,
            line_search_fn="strong_wolfe",
        )


def _grams_at(level: int, style: Statistics, names: Iterable[str]) -> dict[str, Tensor]:
    """The style's Gram matrices at a level, by name."""
    keys = {name: f"level{level}.{name}" for name in names}
    for key in keys.values():
        if key not in style:
            raise StylekitError(
                f"The style has no {key!r}. Describe it with the same layers and levels of gatys as used here."
            )
    return {name: style[key] for name, key in keys.items()}


@hookimpl
def stylekit_methods() -> dict[str, Callable[..., Method]]:
    return {"gatys": Gatys}
