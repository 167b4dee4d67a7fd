"""Style transfer by optimisation: the picture itself is changed until its features fit (Gatys, Ecker and Bethge 2016).

Its features shall be the content's, and their Gram matrices the style's. Three things are not the paper's: the errors are
relative, so that the weights mean about the same for every layer of every encoder; the content's features are compared
after an instance norm, for the means and deviations of channels are style (Huang and Belongie 2017); and the picture is
found in small first, then larger (Gatys et al. 2017, section 6).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from stylekit import Method, Part, StylekitError, hookimpl, make
from stylekit.encoders import require_layers
from stylekit.errors import NotFinite
from stylekit.images import pad_to, resize
from stylekit.layers import require_options
from stylekit.losses import ContentLoss, StyleLoss, color_moments, gram_loss, total_variation
from stylekit.method import Capabilities, Statistics

__all__ = ["Gatys"]

LEAST = 32
"""No coarser level has a side below that: there would be nothing to see."""
START = 0.98
"""How much of the range a picture starts in: at black and white the sine has no slope."""

Maps = Mapping[str, Tensor]


def shrunk(image: Tensor, level: int) -> Tensor:
    """The image with its sides halved so many times."""
    height, width = (max(1, side >> level) for side in image.shape[2:])
    return resize(image, (height, width)) if level else image


class Gatys(Method):
    """The picture is optimised, for each content and style anew: slow, and for every encoder, without any training.

    A style is its Gram matrices. Their weighted averages are styles too: the gradient of a weighted sum of squared errors
    to several targets is that of the error to the average of the targets.

    Args:
        encoder: network whose features are compared
        content_layers: where the content is compared; if empty, everywhere but in the first and the last layer
        style_layers: where the style is compared; all layers if empty
        content_weight: weight of the features' mean squared error; 0 gives textures without content
        style_weight: weight of the Gram matrices' error
        color_weight: weight of the error of the colours' means and covariances; 0 in the paper
        total_variation: weight of the mean squared difference of neighbours, against noise; 0 in the paper
        optimizer: lbfgs, or adam, which takes several times as many steps, and less memory
        steps: evaluations of the loss, on all levels together
        init: what the picture is at first
        levels: sizes at which the picture is found: a half, a quarter, ... and the whole at last; 1 in the paper
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
    capabilities = Capabilities(optimizes=True, exportable=False)

    def __init__(
        self,
        encoder: Part = "random",
        content_layers: Sequence[str] = (),
        style_layers: Sequence[str] = (),
        content_weight: float = 1.0,
        style_weight: float = 30.0,
        color_weight: float = 10.0,
        total_variation: float = 3.0,
        optimizer: Literal["lbfgs", "adam"] = "lbfgs",
        steps: int = 300,
        init: Literal["content", "noise"] = "content",
        levels: int = 3,
    ) -> None:
        super().__init__()
        require_options(steps=steps, levels=levels)
        self.encoder = make("encoder", encoder)
        self.style_loss = StyleLoss(tuple(style_layers))
        self.content_layers, self.style_layers = tuple(content_layers), tuple(style_layers)
        self.content_weight, self.style_weight = content_weight, style_weight
        self.color_weight, self.total_variation = color_weight, total_variation
        self.optimizer, self.steps, self.init, self.levels = optimizer, steps, init, levels

    def describe(self, style: Tensor) -> Statistics:
        """The Gram matrices ``(N, C, C)`` of every layer at every level, named ``level{0, 1, ...}.{layer}``.

        ``level{...}.colors`` are those of red, green, blue and 1: the means and second moments of the colours.

        Raises:
            StylekitError: the encoder has no such layer.
        """
        found: dict[str, Tensor] = {}
        for level in range(self.levels):
            image = shrunk(style, level)
            found |= {f"level{level}.{name}": gram for name, gram in self._grams(image, self._features(image)).items()}
        return found

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        """Optimises pictures of the content's shape; ``strength`` moves the wanted Gram matrices towards the content's.

        :attr:`on_step` is given the pictures at the size of their level.

        Raises:
            NotFinite: the loss became NaN or infinite.
            StylekitError: the encoder has no such layer, or the style was described with other layers or levels.
        """
        height, width = content.shape[2:]
        levels = [level for level in range(self.levels) if not level or min(height, width) >> level >= LEAST]
        picture, done = None, 0
        # Without gradients the core calls this, and in inference mode: its tensors are of no use to autograd.
        with torch.inference_mode(False), torch.enable_grad():
            for left, level in reversed(list(enumerate(levels, 1))):
                smaller = shrunk(content.clone(), level)
                with torch.no_grad():
                    features = self._features(smaller)
                    shown = self._content_loss(features).target(features)
                    grams = _between(self._grams(smaller, features), style, level, strength)
                if picture is None:
                    picture = torch.rand_like(smaller) if self.init == "noise" else smaller
                steps = (self.steps - done) // left
                start = resize(picture, (smaller.shape[2], smaller.shape[3]))
                picture = self._optimised(start, partial(self.loss, shown=shown, grams=grams), steps, done)
                done += steps
        assert picture is not None
        return picture

    def loss(self, image: Tensor, shown: Maps, grams: Maps) -> Tensor:
        """What is minimised, of each picture ``(N,)``.

        Args:
            image: pictures ``(N, 3, H, W)``
            shown: the content's features by layer, after an instance norm, with N rows
            grams: the wanted Gram matrices by layer, with N rows or one, and those of the ``colors``
        """
        features = self._features(image)
        return (
            self.content_weight * self._content_loss(features)(features, shown)
            + self.style_weight * self.style_loss(features, grams)
            + self.color_weight * gram_loss(color_moments(image), grams["colors"])
            + self.total_variation * total_variation(image)
        )

    def _features(self, image: Tensor) -> Maps:
        features: Maps = self.encoder(pad_to(image, 1, getattr(self.encoder, "min_size", 1)))
        require_layers((*self.content_layers, *self.style_layers), features)
        return features

    def _content_loss(self, features: Maps) -> ContentLoss:
        """What the image shows, whatever its colours and contrasts; by default not in the first and the last layer."""
        names = tuple(features)
        return ContentLoss(self.content_layers or names[1:-1] or names, normalize=True)

    def _grams(self, image: Tensor, features: Maps) -> dict[str, Tensor]:
        return {**self.style_loss.target(features), "colors": color_moments(image)}

    def _optimised(self, start: Tensor, loss: Callable[[Tensor], Tensor], steps: int, done: int) -> Tensor:
        """The picture ``(1 + sin(angle)) / 2``, which stays in [0, 1], after so many steps on its angles."""
        angle = ((2 * start - 1) * START).asin().detach().contiguous().requires_grad_(True)  # L-BFGS views it
        optimizer = self._optimizer(angle, steps)
        count = 0

        def evaluate() -> float:
            nonlocal count
            count += 1
            optimizer.zero_grad()
            image = (1 + angle.sin()) / 2
            # As a sum over pixels: torch's L-BFGS learns nothing from gradients below an absolute threshold.
            value = loss(image).sum() * start[0].numel()
            if not value.isfinite():
                raise NotFinite("The loss of gatys is not finite. Try optimizer=adam, or smaller weights.")
            value.backward()
            if self.on_step is not None and count <= steps:  # L-BFGS goes a few beyond, to end a line search
                self.on_step(done + count, self.steps, image.detach())
            return float(value.detach())

        while count < steps:
            optimizer.step(evaluate)
        return (1 + angle.detach().sin()) / 2

    def _optimizer(self, angle: Tensor, steps: int) -> torch.optim.Optimizer:
        if self.optimizer == "adam":
            return torch.optim.Adam([angle], lr=0.05)
        # All in one call, of which each costs an evaluation. The line search hardly needs more than one for each
        # direction; without it, steps may be so long that the sine turns over, and nothing but noise is left.
        return torch.optim.LBFGS(
            [angle],
            max_iter=steps,
            max_eval=steps,
            history_size=20,
            tolerance_grad=0.0,
            tolerance_change=0.0,
            line_search_fn="strong_wolfe",
        )


def _between(own: Maps, style: Statistics, level: int, strength: float) -> Maps:
    """The Gram matrices on the way from the content's own to the style's."""
    wanted = {}
    for name, gram in own.items():
        key = f"level{level}.{name}"
        if key not in style:
            raise StylekitError(
                f"The style has no {key!r}: describe it with the layers and levels that gatys has here."
            )
        wanted[name] = torch.lerp(gram, style[key].expand_as(gram), strength)
    return wanted


@hookimpl
def stylekit_methods() -> dict[str, Callable[..., Method]]:
    return {"gatys": Gatys}
