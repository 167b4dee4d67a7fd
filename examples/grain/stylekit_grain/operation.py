"""Film grain, compiled and in plain PyTorch. The results are equal except for rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylekit.native import load_library

LIVE = load_library(Path(__file__).with_name("_grain.so"))


def grain(image: Tensor, strength: Tensor, seed: int) -> Tensor:
    """Makes every pixel slightly lighter or darker, midtones most. It is differentiable.

    Args:
        image: images ``(N, C, H, W)`` in [0, 1]
        strength: strength of the grain per channel, ``(C,)``, from -1 to 1
        seed: random seed of the grain

    Returns:
        Images of the same shape, dtype and range.
    """
    if LIVE and image.device.type == "cpu" and image.dtype == strength.dtype == torch.float32:
        compiled: Tensor = torch.ops.stylekit_grain.grain.default(image, strength, seed)
        return compiled
    return reference(image, strength, seed)


def reference(image: Tensor, strength: Tensor, seed: int) -> Tensor:
    """The same operation in plain PyTorch, for all devices and floating-point types."""
    shade = strength[:, None, None] * noise(image, seed)
    return image + (shade * image * (1 - image)).to(image.dtype)


def noise(image: Tensor, seed: int) -> Tensor:
    """Noise ``(H, W)`` in [-1, 1) by the position of the pixel, in float32. It is the same for all images."""
    rows = torch.arange(image.shape[-2], device=image.device)[:, None] * 0x528E9F05
    columns = torch.arange(image.shape[-1], device=image.device) * 0x7C52288D
    bits: Tensor = _mix(rows + columns + _mix(seed & 0xFFFFFFFF) & 0xFFFFFFFF)
    return (bits >> 8).to(torch.float32) / 2**23 - 1


def _mix(bits: Any) -> Any:
    """Mixes 32 bits (a hash), in an int or an int64 tensor, in which the products do not overflow."""
    bits = (bits ^ bits >> 15) * 0x58F5F663 & 0xFFFFFFFF
    bits = (bits ^ bits >> 13) * 0x6BB491AB & 0xFFFFFFFF
    return bits ^ bits >> 16


def _setup(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
    image, strength, ctx.seed = inputs
    ctx.save_for_backward(image, strength)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
    image, strength = ctx.saved_tensors
    grained = grad * noise(image, ctx.seed)
    to_image = grad + grained * strength[:, None, None] * (1 - 2 * image)
    return to_image, (grained * image * (1 - image)).sum((0, 2, 3)), None


if LIVE:
    torch.library.register_fake("stylekit_grain::grain", lambda image, strength, seed: image.new_empty(image.shape))
    torch.library.register_autograd("stylekit_grain::grain", _backward, setup_context=_setup)
