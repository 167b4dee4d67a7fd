"""What happens inside a model: feature maps, attention, what an output depends on, and where it differs from its inputs.

Nothing here knows a method: features are read by hooks, attention where ``scaled_dot_product_attention`` is called.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from stylekit.encoders import encode, frozen_encoder, layer_shapes
from stylekit.errors import StylekitError, suggest
from stylekit.evaluation.pictures import spread
from stylekit.inference.model import Model
from stylekit.inference.styles import Style
from stylekit.ops import instance_norm
from stylekit.registry.parts import Part

__all__ = ["Region", "attention_maps", "content_map", "feature_maps", "score_maps", "sensitivity_map", "style_map"]

Region = tuple[int, int, int, int]
"""Left, top, width and height of a part of the output, in pixels."""
LAYERS = 6
"""Layers whose features are shown unless the user chooses some."""
WINDOW = 9
"""Side of the window, in positions, over which the style of a region is measured."""


def feature_maps(
    model: Model, image: Tensor, style: Style | None = None, layers: Sequence[str] = ()
) -> dict[str, Tensor]:
    """The features ``(C, H, W)`` of some layers while an image is stylised, by the names of their modules.

    Args:
        model: the model
        image: ``(1, 3, H, W)`` in [0, 1]
        style: its style, for a method that takes one
        layers: names of modules of the method, such as ``generator.body.3``; if empty, six convolutions, spread evenly

    Raises:
        StylekitError: a layer does not exist, or its output is no feature map.
    """
    modules = {name: module for name, module in model.method.named_modules() if name}
    for name in layers:
        if name not in modules:
            raise StylekitError(f"The method {model.name!r} has no module {name!r}. {suggest(name, modules)}")
    wanted = {name: modules[name] for name in layers} or {
        name: module for name, module in modules.items() if isinstance(module, nn.Conv2d)
    }
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, given: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim == 4:
                found.setdefault(name, output[0].detach().float().cpu())

        return hook

    with ExitStack() as stack:
        for name, module in wanted.items():
            stack.callback(module.register_forward_hook(keep(name)).remove)
        model.stylize(image, style)
    for name in layers:
        if name not in found:
            raise StylekitError(f"The module {name!r} computes no feature map (N, C, H, W) while an image is stylised.")
    chosen = found if layers else spread([*found], LAYERS)
    return {name: found[name] for name in chosen}


class _Attention(TorchFunctionMode):
    """Records the weights of every call of ``scaled_dot_product_attention``, averaged over heads: ``(queries, keys)``."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[Tensor] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if func is F.scaled_dot_product_attention:
            query, key = args[:2]
            scale = options.get("scale") or 1 / math.sqrt(query.shape[-1])
            scores = (query @ key.mT * scale).softmax(-1)
            self.weights.append(scores.flatten(0, -3).mean(0).detach().float().cpu())
        return func(*args, **options)


def attention_maps(model: Model, image: Tensor, style: Style | None, region: Region) -> list[Tensor]:
    """Where each attention of a model looks for a region of the output: weights ``(H, W)`` with sum 1, in order of the calls.

    Attention over anything but positions of the image is left out.
    """
    with _Attention() as recorded:
        model.stylize(image, style)
    maps = []
    height, width = image.shape[-2:]
    for weights in recorded.weights:
        asking, asked = (_grid(count, height, width) for count in weights.shape)
        if asking and asked:
            of_region = weights.unflatten(0, asking)[_positions(region, (height, width), asking)]
            maps.append(of_region.flatten(0, -2).mean(0).unflatten(0, asked))
    return maps


def _grid(count: int, height: int, width: int) -> tuple[int, int] | None:
    """The rows and columns of positions of an image of that shape; None: the number fits no grid."""
    rows = max(1, round(math.sqrt(count * height / width)))
    return (rows, count // rows) if count > 1 and count % rows == 0 else None


def _positions(region: Region, size: tuple[int, int], grid: tuple[int, int]) -> tuple[slice, slice]:
    """The part of a grid of positions that a region of the image covers, at least one position."""
    left, top, width, height = region
    ends = ((top, height, size[0], grid[0]), (left, width, size[1], grid[1]))
    first, second = (
        slice(start * count // side, max(start * count // side + 1, -(-(start + length) * count // side)))
        for start, length, side, count in ends
    )
    return first, second


def sensitivity_map(model: Model, image: Tensor, style: Style | None, region: Region) -> Tensor:
    """How much the sum of a region of the output changes with each pixel of the image: absolute gradients ``(H, W)``.

    Raises:
        StylekitError: the method optimises its output, or its output has no gradient.
    """
    if model.method.capabilities.optimizes:
        raise StylekitError(f"The method {model.name!r} optimises each image, so its output has no gradient.")
    [statistics] = model.resolve_styles(style)
    content = image.to(model.device).clone().requires_grad_()
    left, top, width, height = region
    with torch.enable_grad():
        method = model.method
        output = method.stylize(content) if statistics is None else method.transfer(content, statistics, 1.0)
        part = output[..., top : top + height, left : left + width]
        if not part.requires_grad:
            raise StylekitError(f"The output of the method {model.name!r} has no gradient.")
        (gradient,) = torch.autograd.grad(part.sum(), content)
    return gradient[0].abs().sum(0).cpu()


@torch.no_grad()
def content_map(output: Tensor, content: Tensor, encoder: Part | None = None) -> Tensor:
    """Where an output lost its content: the terms of the metric ``content-distance`` before their mean, ``(h, w)``."""
    network = frozen_encoder(encoder)
    layer = tuple(layer_shapes(network))[-2]
    ours, theirs = (instance_norm(encode(network, each, (layer,), half=False)[layer]) for each in (output, content))
    return (ours - theirs).square().mean(1)[0]


@torch.no_grad()
def style_map(output: Tensor, style: Tensor, encoder: Part | None = None) -> Tensor:
    """Where an output is far from its style: ``(h, w)``.

    The means and deviations of the third layer's channels in a window around each position, minus those of the whole style,
    relative to the style's deviations; squared and averaged over channels.
    """
    network = frozen_encoder(encoder)
    layer = tuple(layer_shapes(network))[2]
    ours, theirs = (encode(network, each, (layer,), half=False)[layer] for each in (output, style))
    side = min(WINDOW, *(length - (length + 1) % 2 for length in ours.shape[-2:]))

    def windows(features: Tensor) -> Tensor:
        return F.avg_pool2d(features, side, 1, side // 2, count_include_pad=False)

    mean = windows(ours)
    deviation = (windows(ours.square()) - mean.square()).clamp(min=0).sqrt()
    flat = theirs.flatten(2)
    wanted = flat.mean(2)[..., None, None], flat.std(2, correction=0)[..., None, None].clamp(min=1e-3)
    errors = ((mean - wanted[0]) / wanted[1]).square() + ((deviation - wanted[1]) / wanted[1]).square()
    return errors.mean(1)[0]


@torch.no_grad()
def score_maps(method: nn.Module, output: Tensor) -> dict[str, Tensor]:
    """The scores ``(h, w)`` that each discriminator of a method gives an output, by its name; higher is more real.

    Discriminators with one score, and those that need a condition, are left out.
    """
    maps = {}
    for name, network in _discriminators(method):
        try:
            scores = network(output)
        except TypeError:  # it needs a condition
            continue
        for number, each in enumerate([scores] if isinstance(scores, Tensor) else scores):
            if each.ndim == 4 and min(each.shape[-2:]) > 1:
                maps[f"{name}-{number}" if number else name] = each[0].mean(0).cpu()
    return maps


def _discriminators(method: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The networks that modules of a method hold as ``discriminator``, as an adversary does."""
    for name, module in method.named_modules():
        network = getattr(module, "discriminator", None)
        if isinstance(network, nn.Module):
            yield name or "discriminator", network
