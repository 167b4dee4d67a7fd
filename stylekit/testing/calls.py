"""How a network is called, by its kind: what goes in, and what must come out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stylekit.testing.kit import Subject, require
from stylekit.testing.pictures import SIDE, equal, pictures, require_image, tensors


def channels_of(network: nn.Module) -> list[int]:
    """The numbers of channels that the network takes."""
    return list(getattr(network, "channels", (3,)))


def inputs_of(
    subject: Subject, network: nn.Module, count: int = 2, size: tuple[int, int] | None = None, channels: int = 0
) -> tuple[Tensor, ...]:
    """What the network's ``forward`` takes: a picture, and a style for a generator; of its least side, or a size."""
    taken = channels_of(network)
    channels = channels or (3 if 3 in taken else taken[0])
    height, width = size or (side_of(subject, network),) * 2
    content = pictures(count, height, width, channels)
    style = pictures(count, height, width, channels, "style")
    return (content, style) if subject.kind == "generator" else (content,)


def side_of(subject: Subject, network: nn.Module) -> int:
    """The side of the pictures that the network is tried on."""
    if subject.kind == "generator":
        return SIDE  # any size must do: it pads
    return max(SIDE if subject.kind == "encoder" else 2 * SIDE, int(getattr(network, "min_size", 1)))


def require_output(subject: Subject, network: nn.Module, *inputs: Tensor) -> Any:
    """Calls the network without gradients and checks what it gives; returns that."""
    before = [each.clone() for each in inputs]
    with torch.no_grad():
        out = network(*inputs)
    require(equal(before, list(inputs)), "forward changes its input: work on a copy, as in content.clone().")
    if subject.kind == "generator":
        require_image(out, inputs[0], "forward(content)")
        return out
    if subject.kind == "encoder":
        good = isinstance(out, Mapping) and bool(out) and all(isinstance(each, Tensor) for each in out.values())
        require(good, "forward(image) must return {layer: features}.")
    else:
        maps = [out] if isinstance(out, Tensor) else out
        good = isinstance(maps, list | tuple) and bool(maps) and all(isinstance(each, Tensor) for each in maps)
        require(good, "forward(image) must return scores, or a list of them.")
    what = "features" if subject.kind == "encoder" else "scores"
    require(
        all(each.ndim and len(each) == len(inputs[0]) for each in tensors(out)),
        f"forward(image) must keep the batch: one row of {what} a picture.",
    )
    require(
        all(bool(torch.isfinite(each).all()) for each in tensors(out)),
        f"forward(image) gave {what} of NaN or infinity.",
    )
    return out
