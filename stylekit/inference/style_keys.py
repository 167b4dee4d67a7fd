"""Style keys: which models share their styles."""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor

from stylekit.inference.styles import statistics_shapes
from stylekit.method import Method, Statistics
from stylekit.seeding import seeded

SIDE = 8
"""Of the picture that tells models apart by what they take from it: few pixels, so that each counts."""
TOLERANCE = 5e-3
"""How far two devices may differ in what they take from it: convolutions may round to 10 bits."""


def probe_statistics(method: Method, device: torch.device) -> Statistics:
    """Statistics by which models are told apart: of one small picture, or the first that is known by heart, or none."""
    if not method.takes_styles():
        return next(iter(method.styles().values()), {})
    waves = torch.arange(3 * SIDE**2, dtype=torch.float64).square().mul(0.1).sin()
    picture = ((1 + waves) / 2).float().view(1, 3, SIDE, SIDE)
    with torch.no_grad(), torch.autocast(device.type, enabled=False), seeded("sample"):
        return method.describe(picture.to(device))


def style_key(method: Method, name: str, known: Statistics) -> str:
    """Tells apart models whose styles do not fit each other.

    A digest of the method's name, of the weights that describe, and of the statistics' names and shapes; then, after a
    colon, how large the statistics of a sample are, for options that no weight and no shape shows. Models whose other
    weights and options differ, such as a decoder that learnt on, share their styles.

    Args:
        method: the method, with its weights
        name: the name that it is registered by
        known: what :func:`sample` gave
    """
    digest = hashlib.sha256(f"{name} {sorted(statistics_shapes(known).items())} ".encode())
    for key, tensor in sorted(method.state_dict().items()):
        if key.split(".")[0] in method.style_modules:
            digest.update(f"{key} {tuple(tensor.shape)} ".encode())
            digest.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return f"{digest.hexdigest()[:16]}:{sum(map(_magnitude, known.values())):.4f}"


def _magnitude(rows: Tensor) -> float:
    """The logarithm of the root mean square, where later numbers count more, so that their order shows."""
    row = rows[0].detach().cpu().double().flatten()
    return math.log(1e-6 + float((row * torch.linspace(1, 2, len(row))).square().mean().sqrt().nan_to_num()))


def keys_match(one: str, other: str) -> bool:
    """Whether two keys are of models that share their styles."""
    (digest, _, magnitude), (also, _, compared) = one.partition(":"), other.partition(":")
    return digest == also and math.isclose(float(magnitude or 0), float(compared or 0), abs_tol=TOLERANCE)
