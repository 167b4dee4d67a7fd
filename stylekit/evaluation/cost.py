"""What a model costs: parameters, operations, seconds and memory of an image, at several sizes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from stylekit.inference.memory import PeakBytes, probe_image
from stylekit.inference.model import Model

__all__ = ["cost"]

SIZES = (256, 512, 1024)
ROUNDS = 3


def cost(model: Model, options: Mapping[str, Any] = {}) -> dict[str, Any]:
    """Measures a model on noise with a style that is described once.

    Returns:
        ``parameters``, and for each side in pixels the multiplications and additions (``flops``), the median of
        ``seconds``, and ``megabytes`` of tensors that are alive at once, without the weights. Of a method that optimises,
        which takes minutes, only the parameters.
    """
    found: dict[str, Any] = {"parameters": sum(each.numel() for each in model.method.parameters())}
    if model.method.capabilities.optimizes:
        return found
    style = model.style(probe_image(SIZES[0])) if model.method.takes_styles() else None
    for side in SIZES:
        image = probe_image(side)
        seconds = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            model.stylize(image, style, **options)
            seconds.append(time.perf_counter() - start)
        with torch.no_grad(), FlopCounterMode(display=False) as flops, PeakBytes() as memory:
            model.stylize(image, style, **options)
        found[f"{side} x {side}"] = {
            "flops": flops.get_total_flops(),
            "seconds": sorted(seconds)[ROUNDS // 2],
            "megabytes": memory.peak / 2**20,
        }
    return found
