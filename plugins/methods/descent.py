"""Learned descent: what Gatys' optimisation does in hundreds of steps, in nine, each chosen by a small network.

The picture is changed until the Gram matrices of its features are the style's (Gatys et al. 2016), where the features are
those of fixed random filters (Ustyuzhaninov et al. 2016). At each step a network sees the picture and the slope of that
objective, and says what to change; it has learnt how far one can go (Andrychowicz et al. 2016; Adler and Öktem 2017).
Coarse levels come first; each finer one begins with the content's detail on top of them (Burt and Adelson 1983). The
slopes are written out, so that a picture takes no automatic differentiation, and the whole is one graph.
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
from stylekit.layers import narrow_conv2d, require_options
from stylekit.losses import color_moments
from stylekit.method import Batch, Capabilities, Statistics, Terms, linear_decay
from stylekit.ops import channel_stats, gram_matrix, instance_norm

__all__ = ["Descent", "Updater"]

EPS = 1e-3
"""Added to the variance of a filter's responses, which is about 0.01, so that what is flat stays flat."""
STRIDE = 0.02
"""How far a step goes at first, before anything is learnt: the root mean square of its change, a level."""
REACHED = 1e-6
"""An objective that is no longer worth lowering: a few tenths are usual."""
MARGIN = 16
"""Pixels that a picture is extended by on each side while it is stylised: steps go too far at a border, where each pixel
also stands for those beyond."""
LEAST = 0.01
"""Root mean square of a slope, times its values, below which there is nowhere to go: pictures have 1 to 200."""


class Slope(NamedTuple):
    """An error of each picture ``(N,)``, and its derivative by what it is the error of."""

    error: Tensor
    slope: Tensor


def gram_slope(features: Tensor, wanted: Tensor) -> Slope:
    """The squared error of the Gram matrix of ``(N, C, H, W)``, as a share of the wanted one's square."""
    size = wanted.square().sum((1, 2)).clamp(min=1e-12)
    away = gram_matrix(features) - wanted
    factor = (4 / features[0].numel() / size)[:, None, None] * away
    pixels = features.permute(0, 2, 3, 1)  # channels last, as the convolutions leave them; the factor is symmetric
    slope = (pixels.flatten(1, 2) @ factor).view_as(pixels).permute(0, 3, 1, 2)
    return Slope(away.square().sum((1, 2)) / size, slope)


def content_slope(features: Tensor, wanted: Tensor) -> Slope:
    """The mean squared error of what features show, whose mean is 0 as the wanted one's is.

    The slope is a sum of the features, the wanted ones and a constant, each with a factor for every channel.
    """
    mean, std = channel_stats(features, EPS)
    _, theirs = channel_stats(wanted, 0.0)
    product = (features - mean[..., None, None]).mul_(wanted)
    alike = product.mean((2, 3)) / std
    squares = 1 - EPS / std.square()  # of what they show; their mean
    error = (squares - 2 * alike + theirs.square()).mean(1).clamp(min=0)
    share = 2 / features[0].numel() / std
    factor = share * (1 - squares + alike) / std
    factor, share, rest = (each[..., None, None] for each in (factor, share, -factor * mean))
    # In the product's place: to get fresh memory takes longer than all this arithmetic.
    return Slope(error, product.copy_(rest).addcmul_(features, factor).addcmul_(wanted, share, value=-1))


def variation_slope(image: Tensor) -> Slope:
    """The mean squared difference of neighbours (Mahendran and Vedaldi 2015, with beta 2)."""
    error, slope = image.new_zeros(len(image)), torch.zeros_like(image)
    for dim in (2, 3):
        step = image.diff(dim=dim)
        error = error + step.square().mean((1, 2, 3))
        margin = [0, 0, 1, 1] if dim == 2 else [1, 1]
        slope = slope - 2 / step[0].numel() * F.pad(step, margin).diff(dim=dim)
    return Slope(error, slope)


def range_slope(image: Tensor) -> Slope:
    """The mean square of what is outside [0, 1]."""
    beyond = image - image.clamp(0, 1)
    return Slope(beyond.square().mean((1, 2, 3)), 2 / image[0].numel() * beyond)


def pyramid(image: Tensor, levels: int) -> list[Tensor]:
    """The image, halved, halved again, ..."""
    found = [image]
    for _ in range(levels - 1):
        found.append(F.avg_pool2d(found[-1], 2))
    return found


def larger(image: Tensor) -> Tensor:
    return F.interpolate(image, scale_factor=2.0, mode="bilinear")


def steep(slope: Tensor) -> Tensor:
    """A slope of root mean square 1; one that is nothing but rounding stays small."""
    least = LEAST / slope[0].numel()
    return slope / slope.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=least)


class Updater(nn.Module):
    """Says what to change: a small U-Net, entered at the level that the picture has, beside steps down the slope.

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
        """The change ``(N, 3, H, W)`` of a picture.

        Args:
            level: of the picture; 0 is the finest
            seen: at this level and each coarser one ``(N, 12, H, W)``: picture, content, slope, and the last change
            slopes: at each of them, of root mean square 1
        """
        found: list[Tensor] = []
        for at, view in enumerate(seen, level):
            x = self.enter[at](view)
            if found:
                x += self.down[at - 1](F.avg_pool2d(found[-1], 2))
            found.append(F.leaky_relu(x, 0.1, inplace=True))
        change: Tensor | None = None
        above: Tensor | None = None
        for at, x, slope in reversed(list(zip(range(level, level + len(seen)), found, slopes, strict=True))):
            if above is not None:
                x = x + F.interpolate(self.up[at](above), scale_factor=2.0)
            above = F.leaky_relu(self.mix[at](x), 0.1, inplace=True)
            here = (self.exit[at](above) - self.stride[at] * slope).to(slope)
            change = here if change is None else here + larger(change)
        assert change is not None
        return STRIDE * change


class Goal(NamedTuple):
    """What a picture is to come to, at each level from the finest."""

    grams: list[Tensor]
    colors: list[Tensor]
    shown: list[Tensor]
    """From the second level on."""


class Descent(Method):
    """Any style at once: colours matched, then nine learnt steps down the slope of Gatys' objective, and colours again.

    Args:
        encoder: fixed filters of one scale; they need ``filters`` (C, 3, K, K) and ``bias`` (C,), as ``random`` has
        plan: the level of each step; 0 is the picture's own size, and each further one half of it
        widths: channels of the network at each level
        style: weight of the Gram matrices' error
        content: weight of the error in what is shown, at all levels but the finest
        color: weight of the error in the colours' means and covariances
        total_variation: weight of the mean squared difference of neighbouring pixels, against noise
        lr: learning rate (Adam), constant for half of the run, then linearly to zero
        ema: decay of an average of the weights, for pictures and the finished model

    Raises:
        StylekitError: a step of the plan has no width, a finer level comes before a coarser one, or the last is not 0.
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
        widths: tuple[int, ...] = (12, 32, 48, 64, 64),
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
        if plan[-1] or any(not 0 <= level < len(widths) for level in plan) or any(a < b for a, b in pairwise(plan)):
            raise StylekitError(
                f"The plan {tuple(plan)} of 'descent' must go from coarse levels to fine ones and end at 0, each from 0 to "
                f"{len(widths) - 1}, as there are {len(widths)} widths."
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
        """The derivative by the image, of that by its responses."""
        filters, margin = self.encoder.filters, self.encoder.filters.shape[-1] // 2
        through = torch.ops.aten.threshold_backward(slope, responses, 0)
        padded = narrow_conv2d(through, filters.flip(2, 3).transpose(0, 1), padding=2 * margin).to(image)
        by_image: Tensor = torch.ops.aten.replication_pad2d_backward(padded, image, [margin] * 4)
        return by_image

    def describe(self, style: Tensor) -> Statistics:
        """Gram matrices of the responses ``(N, C, C)`` and of the colours ``(N, 4, 4)`` at every level, and the colours'
        mean and root for :func:`stylekit.color.match_color`."""
        side = 2 ** (self.levels - 1)
        mean, root = color_stats(style)
        told = {"color.mean": mean, "color.root": root}
        for level, image in enumerate(pyramid(pad_to(style, side, 2 * side), self.levels)):
            told[f"gram{level}"] = gram_matrix(self._responses(image))
            told[f"colors{level}"] = color_moments(image)
        return told

    def _goal(self, content: list[Tensor], style: Statistics, strength: float) -> Goal:
        what = [instance_norm(self._responses(image), eps=EPS) for image in content[1:]]
        grams, colors = ([style[f"{name}{level}"] for level in range(self.levels)] for name in ("gram", "colors"))
        if strength < 1:  # on the way from the content's own
            grams = [gram_matrix(self._responses(x)).lerp(g, strength) for x, g in zip(content, grams, strict=True)]
            colors = [color_moments(x).lerp(g, strength) for x, g in zip(content, colors, strict=True)]
        return Goal(grams, colors, what)

    def _objective(self, images: Sequence[Tensor], level: int, goal: Goal) -> tuple[Tensor, list[Tensor]]:
        """The objective ``(N,)`` at a level, and its slopes by the picture there and by each coarser copy of it."""
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
        """The picture after all steps; or to learn, for each step the logarithm of the objective that it led to."""
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
            seen = [view.contiguous(memory_format=torch.channels_last) for view in seen]  # quicker on a CPU
            change = self.updater(level, seen, slopes)
            slopes = None
            if learn:
                loss, slopes = self._reached(image + change, level, goal)
                reached.append(loss)
            image, last = (image + change).detach().clamp(0, 1), change.detach()
        return reached or [image]

    def _reached(self, image: Tensor, level: int, goal: Goal) -> tuple[Tensor, list[Tensor]]:
        """The mean logarithm of the objective, whose derivative is known and so not computed again; and the slopes."""
        images = pyramid(image, self.levels - level)
        with torch.no_grad():
            total, slopes = self._objective(images, level, goal)
            total = total + REACHED  # so that the logarithm of what is reached exactly is finite
        pulls = [(x * slope / total[:, None, None, None]).sum() for x, slope in zip(images, slopes, strict=True)]
        linear = torch.stack(pulls).sum() / len(image)
        return total.log().mean() + linear - linear.detach(), slopes

    def _ready(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        """The content in the style's colours, with sides that can be halved."""
        side = 2 ** (self.levels - 1)
        return pad_to(match_color(content, style["color.mean"], style["color.root"], strength), side, 2 * side)

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        height, width = content.shape[-2:]
        framed = F.pad(content, [MARGIN] * 4, mode="reflect" if min(height, width) > MARGIN else "replicate")
        (image,) = self._descend(self._ready(framed, style, strength), style, strength)
        mean, root = style["color.mean"], style["color.root"]
        if strength < 1:
            own_mean, own_root = color_stats(content)
            mean, root = own_mean.lerp(mean, strength), own_root.lerp(root, strength)
        # Once more, as the descent leaves faint tints, which are seen most where a style is grey.
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
