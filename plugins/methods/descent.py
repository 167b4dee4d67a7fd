"""Learned descent: the optimisation of Gatys et al. in nine learned steps instead of hundreds of gradient steps.

The image is changed until the Gram matrices of its features match the style's (Gatys et al. 2016). The features are those of
fixed random filters (Ustyuzhaninov et al. 2016). At each step, a small network computes the change from the image and the
gradient of this objective; it has learned how large steps may be (Andrychowicz et al. 2016; Adler and Öktem 2017). The steps
go from coarse to fine levels, and each finer level starts with the content's detail added (Burt and Adelson 1983). The
gradients are computed by explicit formulas, so stylising needs no automatic differentiation and is a single graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import Method, Part, Player, StylekitError, hookimpl, make, turn
from stylekit.color import color_stats, match_color
from stylekit.images import pad_to
from stylekit.layers import Width, narrow_conv2d, require_options
from stylekit.losses import color_moments
from stylekit.method import Batch, Capabilities, Statistics, Terms, linear_decay
from stylekit.ops import channel_stats, gram_matrix, instance_norm

__all__ = ["Descent", "Updater"]

EPS = 1e-3
"""Added to the variance of a filter's responses, which is about 0.01, so that noise in flat areas is not amplified."""
STRIDE = 0.02
"""Step length before training: the root mean square of the change per level."""
REACHED = 1e-6
"""Added to the objective before its logarithm; a smaller objective is not worth lowering. A few tenths are typical."""
MARGIN = 16
"""Pixels of padding on each side of the image while it is stylised. Without it, steps are too large at the border, because
border pixels also represent the padding."""
LEAST = 0.01
"""The smallest root mean square that a gradient is divided by, times its number of values; typical images have 1 to 200."""


class Slope(NamedTuple):
    """An error per image, ``(N,)``, and its gradient with respect to the argument."""

    error: Tensor
    slope: Tensor


def gram_slope(features: Tensor, target: Tensor) -> Slope:
    """The squared error of the Gram matrix of features ``(N, C, H, W)``, relative to the squared norm of the target."""
    norm = target.square().sum((1, 2)).clamp(min=1e-12)
    difference = gram_matrix(features) - target
    factor = (4 / features[0].numel() / norm)[:, None, None] * difference
    pixels = features.permute(0, 2, 3, 1)  # channels last, the convolutions' memory format; the factor is symmetric
    slope = (pixels.flatten(1, 2) @ factor).view_as(pixels).permute(0, 3, 1, 2)
    return Slope(difference.square().sum((1, 2)) / norm, slope)


def content_slope(features: Tensor, target: Tensor) -> Slope:
    """The mean squared error of the instance-normalised features. The target is normalised too, so its mean is 0.

    The gradient is a linear combination of the features, the target and a constant, with coefficients per channel.
    """
    mean, std = channel_stats(features, EPS)
    _, target_std = channel_stats(target, 0.0)
    product = (features - mean[..., None, None]).mul_(target)
    correlation = product.mean((2, 3)) / std
    squares = 1 - EPS / std.square()  # the mean square of the normalised features
    error = (squares - 2 * correlation + target_std.square()).mean(1).clamp(min=0)
    scale = 2 / features[0].numel() / std
    factor = scale * (1 - squares + correlation) / std
    factor, scale, constant = (each[..., None, None] for each in (factor, scale, -factor * mean))
    # Reuses the memory of the product, because allocating takes longer than the arithmetic.
    return Slope(error, product.copy_(constant).addcmul_(features, factor).addcmul_(target, scale, value=-1))


def variation_slope(image: Tensor) -> Slope:
    """The mean squared difference of neighbouring pixels (Mahendran and Vedaldi 2015, with beta = 2)."""
    error, slope = image.new_zeros(len(image)), torch.zeros_like(image)
    for dim in (2, 3):
        difference = image.diff(dim=dim)
        error = error + difference.square().mean((1, 2, 3))
        padding = [0, 0, 1, 1] if dim == 2 else [1, 1]
        slope = slope - 2 / difference[0].numel() * F.pad(difference, padding).diff(dim=dim)
    return Slope(error, slope)


def range_slope(image: Tensor) -> Slope:
    """The mean square of the amount by which values are outside [0, 1]."""
    excess = image - image.clamp(0, 1)
    return Slope(excess.square().mean((1, 2, 3)), 2 / image[0].numel() * excess)


def pyramid(image: Tensor, levels: int) -> list[Tensor]:
    """The image, and copies of it that are halved repeatedly: ``levels`` images in total."""
    images = [image]
    for _ in range(levels - 1):
        images.append(F.avg_pool2d(images[-1], 2))
    return images


def larger(image: Tensor) -> Tensor:
    return F.interpolate(image, scale_factor=2.0, mode="bilinear")


def steep(slope: Tensor) -> Tensor:
    """Normalises a gradient to root mean square 1, except that rounding errors of a zero gradient stay small."""
    least = LEAST / slope[0].numel()
    return slope / slope.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=least)


class Updater(nn.Module):
    """Computes the change of an image: gradient descent plus a small U-Net that starts at the level of the image.

    Args:
        widths: channels of each level, from the finest to the coarsest
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()

        def conv(before: int, after: int) -> nn.Sequential:
            return nn.Sequential(nn.ReplicationPad2d(1), nn.Conv2d(before, after, 3))

        self.enter = nn.ModuleList(conv(12, width) for width in widths)
        self.down = nn.ModuleList(conv(fine, coarse) for fine, coarse in pairwise(widths))
        self.up = nn.ModuleList(conv(coarse, fine) for fine, coarse in pairwise(widths))
        self.mix = nn.ModuleList(conv(width, width) for width in widths)
        self.exit = nn.ModuleList(conv(width, 3) for width in widths)
        self.stride = nn.Parameter(torch.ones(len(widths)))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        for layer in self.exit:
            nn.init.zeros_(layer[1].weight)  # type: ignore[index]

    def forward(self, level: int, seen: Sequence[Tensor], slopes: Sequence[Tensor]) -> Tensor:
        """Returns the change ``(N, 3, H, W)`` of an image.

        Args:
            level: level of the image; 0 is the finest
            seen: inputs ``(N, 12, H, W)`` for this level and each coarser one: image, content, gradient and last change
            slopes: gradients at the same levels, normalised to root mean square 1
        """
        features: list[Tensor] = []
        for at, view in enumerate(seen, level):
            x = self.enter[at](view)
            if features:
                x += self.down[at - 1](F.avg_pool2d(features[-1], 2))
            features.append(F.leaky_relu(x, 0.1, inplace=True))
        change: Tensor | None = None
        coarser: Tensor | None = None
        for at, x, slope in reversed(list(zip(range(level, level + len(seen)), features, slopes, strict=True))):
            if coarser is not None:
                x = x + F.interpolate(self.up[at](coarser), scale_factor=2.0)
            coarser = F.leaky_relu(self.mix[at](x), 0.1, inplace=True)
            own = (self.exit[at](coarser) - self.stride[at] * slope).to(slope)
            change = own if change is None else own + larger(change)
        assert change is not None
        return STRIDE * change


class Goal(NamedTuple):
    """The targets of the objective: one tensor per level, from the finest."""

    grams: list[Tensor]
    colors: list[Tensor]
    shown: list[Tensor]
    """Instance-normalised responses to the content, starting with the second level."""


class Descent(Method):
    """Any style in one pass: matches colours, takes nine learned steps on Gatys' objective, and matches colours again.

    Args:
        encoder: fixed filters of one scale; needs the attributes ``filters`` (C, 3, K, K) and ``bias`` (C,), like ``random``
        plan: the level of each step; 0 is full size, and each further level has half the size of the previous one
        widths: channels of the network at each level
        style: weight of the error of the Gram matrices
        content: weight of the error of the instance-normalised features, at all levels except the finest
        color: weight of the error of the colours' means and covariances
        total_variation: weight of the mean squared difference of neighbouring pixels, which reduces noise
        lr: learning rate (Adam), constant for half of the run, then decaying linearly to 0
        ema: decay of the exponential moving average of the weights, used for samples and the finished model

    Raises:
        StylekitError: a level of the plan has no width, a finer level comes before a coarser one, the last is not 0, or there
            are more than 16 widths or 1000 steps.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"plan": (1, 1, 0), "widths": (8, 8, 8), "encoder": {"name": "random", "scales": 1, "width": 16}}
    }
    inference_modules = ("encoder", "updater")
    capabilities = Capabilities(thread_safe=True)
    fine_tuning: ClassVar[Mapping[str, Any]] = {"lr": 5e-4}

    def __init__(
        self,
        encoder: Part = {"name": "random", "scales": 1, "width": 32},  # noqa: B006
        plan: tuple[int, ...] = (2, 2, 2, 2, 1, 1, 1, 0, 0),
        widths: tuple[Width, ...] = (12, 32, 48, 64, 64),
        style: float = 30.0,
        content: float = 1.0,
        color: float = 10.0,
        total_variation: float = 3.0,
        lr: float = 2e-3,
        ema: float | None = 0.99,
    ) -> None:
        super().__init__()
        require_options(
            levels=len(widths), steps=len(plan), **{f"widths[{k}]": width for k, width in enumerate(widths)}
        )
        if len(widths) > 16 or len(plan) > 1000:
            raise StylekitError("The method 'descent' accepts at most 16 widths and a plan of at most 1000 steps.")
        if plan[-1] or any(not 0 <= level < len(widths) for level in plan) or any(a < b for a, b in pairwise(plan)):
            raise StylekitError(
                f"The plan {tuple(plan)} of 'descent' must go from coarse to fine levels and end with 0. With {len(widths)} "
                f"widths, the levels are 0 to {len(widths) - 1}."
            )
        self.encoder: Any = make("encoder", encoder)
        self.updater = Updater(widths)
        self.levels, self.plan = len(widths), tuple(plan)
        self.style, self.content, self.color, self.total_variation = style, content, color, total_variation
        self.lr, self.ema = lr, ema

    def players(self) -> dict[str, Player]:
        adam = torch.optim.Adam
        return {"updater": Player(self.updater, self.lr, adam, schedule=linear_decay, clip=1.0, ema=self.ema)}

    def _responses(self, image: Tensor) -> Tensor:
        margin = self.encoder.filters.shape[-1] // 2
        padded = F.pad(image - 0.5, [margin] * 4, mode="replicate").contiguous(memory_format=torch.channels_last)
        return F.conv2d(padded, self.encoder.filters, self.encoder.bias).relu_().to(image)

    def _back(self, slope: Tensor, responses: Tensor, image: Tensor) -> Tensor:
        """Backpropagates the gradient with respect to the responses to the image."""
        filters, margin = self.encoder.filters, self.encoder.filters.shape[-1] // 2
        through = torch.ops.aten.threshold_backward(slope, responses, 0)
        padded = narrow_conv2d(through, filters.flip(2, 3).transpose(0, 1), padding=2 * margin).to(image)
        by_image: Tensor = torch.ops.aten.replication_pad2d_backward(padded, image, [margin] * 4)
        return by_image

    def describe(self, style: Tensor) -> Statistics:
        """Computes the Gram matrices of the responses ``(N, C, C)`` and of the colours ``(N, 4, 4)`` at every level, and the
        colours' mean and root for :func:`stylekit.color.match_color`."""
        side = 2 ** (self.levels - 1)
        mean, root = color_stats(style)
        statistics = {"color.mean": mean, "color.root": root}
        for level, image in enumerate(pyramid(pad_to(style, side, 2 * side), self.levels)):
            statistics[f"gram{level}"] = gram_matrix(self._responses(image))
            statistics[f"colors{level}"] = color_moments(image)
        return statistics

    def _goal(self, content: list[Tensor], style: Statistics, strength: float) -> Goal:
        shown = [instance_norm(self._responses(image), eps=EPS) for image in content[1:]]
        grams, colors = ([style[f"{name}{level}"] for level in range(self.levels)] for name in ("gram", "colors"))
        if strength < 1:  # interpolated from those of the content
            grams = [gram_matrix(self._responses(x)).lerp(g, strength) for x, g in zip(content, grams, strict=True)]
            colors = [color_moments(x).lerp(g, strength) for x, g in zip(content, colors, strict=True)]
        return Goal(grams, colors, shown)

    def _objective(self, images: Sequence[Tensor], level: int, goal: Goal) -> tuple[Tensor, list[Tensor]]:
        """The objective ``(N,)`` at a level, and its gradients with respect to the image and each coarser copy of it."""
        contents = sum(at > 0 for at in range(level, self.levels))
        total, slopes = images[0].new_zeros(len(images[0])), []
        for at, image in enumerate(images, level):
            responses = self._responses(image)
            style = gram_slope(responses, goal.grams[at])
            weight = self.style / len(images)
            total, slope = total + weight * style.error, style.slope.mul_(weight)
            if at > 0:
                content, weight = content_slope(responses, goal.shown[at - 1]), self.content / contents
                total, slope = total + weight * content.error, slope.add_(content.slope, alpha=weight)
            slopes.append(self._back(slope, responses, image))
        image = images[0]
        color = gram_slope(F.pad(image, (0, 0, 0, 0, 0, 1), value=1.0), goal.colors[level])
        rest = (
            (self.color, Slope(color.error, color.slope[:, :3])),
            (self.total_variation, variation_slope(image)),
            (10.0, range_slope(image)),
        )
        for weight, each in rest:
            total, slopes[0] = total + weight * each.error, slopes[0] + weight * each.slope
        return total, slopes

    def _descend(self, content: Tensor, style: Statistics, strength: float = 1.0, learn: bool = False) -> list[Tensor]:
        """The image after all steps. If ``learn`` is set, instead the logarithm of the objective after each step."""
        with torch.no_grad():
            contents = pyramid(content, self.levels)
            goal = self._goal(contents, style, strength)
        level, image, last, slopes, reached = self.plan[0], contents[self.plan[0]], None, None, []
        for at in self.plan:
            while level > at:
                level -= 1
                image = (larger(image - contents[level + 1]) + contents[level]).clamp(0, 1)
                last = slopes = None
            images = pyramid(image, self.levels - level)
            with torch.no_grad():
                if slopes is None:
                    _, slopes = self._objective(images, level, goal)
                slopes = [steep(slope) for slope in slopes]
                changes = pyramid(torch.zeros_like(image) if last is None else last, len(images))
            views = zip(images, contents[level:], slopes, changes, strict=True)
            seen = [torch.cat([x - 0.5, c - 0.5, s, steep(d)], 1) for x, c, s, d in views]
            seen = [view.contiguous(memory_format=torch.channels_last) for view in seen]  # faster on a CPU
            change = self.updater(level, seen, slopes)
            slopes = None
            if learn:
                loss, slopes = self._reached(image + change, level, goal)
                reached.append(loss)
            image, last = (image + change).detach().clamp(0, 1), change.detach()
        return reached or [image]

    def _reached(self, image: Tensor, level: int, goal: Goal) -> tuple[Tensor, list[Tensor]]:
        """The mean logarithm of the objective, and the gradients of the objective.

        For autograd, the mean is a linear function of the images with the known gradients, so they are not computed again.
        """
        images = pyramid(image, self.levels - level)
        with torch.no_grad():
            total, slopes = self._objective(images, level, goal)
            total = total + REACHED  # so that the logarithm of an objective of 0 is finite
        terms = [(x * slope / total[:, None, None, None]).sum() for x, slope in zip(images, slopes, strict=True)]
        linear = torch.stack(terms).sum() / len(image)
        return total.log().mean() + linear - linear.detach(), slopes

    def _ready(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        """The content with the style's colours, padded to sides that can be halved at every level."""
        side = 2 ** (self.levels - 1)
        return pad_to(match_color(content, style["color.mean"], style["color.root"], strength), side, 2 * side)

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        height, width = content.shape[-2:]
        padded = F.pad(content, [MARGIN] * 4, mode="reflect" if min(height, width) > MARGIN else "replicate")
        (image,) = self._descend(self._ready(padded, style, strength), style, strength)
        mean, root = style["color.mean"], style["color.root"]
        if strength < 1:
            own_mean, own_root = color_stats(content)
            mean, root = own_mean.lerp(mean, strength), own_root.lerp(root, strength)
        # Matched again, because the steps leave faint tints, which are most visible with grey styles.
        return match_color(image[..., MARGIN : MARGIN + height, MARGIN : MARGIN + width], mean, root)

    def forward(self, batch: Batch) -> list[Tensor]:
        with torch.no_grad():
            style = self.describe(batch["style"])
            content = self._ready(batch["content"], style)
        return self._descend(content, style, learn=True)

    @turn("updater")
    def descend(self, batch: Batch, made: list[Tensor]) -> Terms:
        return {"objective": torch.stack(made).mean()}


@hookimpl
def stylekit_methods() -> dict[str, Callable[..., Method]]:
    return {"descent": Descent}
