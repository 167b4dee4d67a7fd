"""Style keys, which show whether models share their styles. Comparing them does not import torch."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

from stylekit.seeding import seeded

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from stylekit.method import Method, Statistics

SIDE = 8
"""Side of the probe image whose statistics distinguish models: few pixels, so that each one matters."""
TOLERANCE = 5e-3
"""Maximum difference of the magnitude between two devices: convolutions may round to 10 bits."""


def probe_statistics(method: Method, device: torch.device) -> Statistics:
    """Statistics that distinguish models: those of a small image, of the first learned style, or none."""
    import torch

    waves = torch.arange(3 * SIDE**2, dtype=torch.float64).square().mul(0.1).sin()
    image = ((1 + waves) / 2).float().view(1, 3, SIDE, SIDE)
    with torch.no_grad(), torch.autocast(device.type, enabled=False), seeded("sample"):
        return method.describe(image.to(device)) if method.takes_styles() else next(iter(method.styles().values()), {})


def style_key(method: Method, name: str, known: Statistics) -> str:
    """A key that differs between models with incompatible styles.

    A digest of the method's name, of the weights that ``describe`` uses, and of the names and shapes of the statistics;
    then, after a colon, the magnitude of the statistics of a sample, for options that affect no weight and no shape. Models
    that differ in other weights and options, such as a fine-tuned decoder, share their styles.

    Args:
        method: the method, with its weights
        name: registered name of the method
        known: what :func:`probe_statistics` returned
    """
    from stylekit.inference.styles import statistics_shapes
    from stylekit.weights.tensors import update_digest

    digest = hashlib.sha256(f"{name} {sorted(statistics_shapes(known).items())} ".encode())
    state = method.state_dict().items()
    update_digest(digest, {key: tensor for key, tensor in state if key.split(".")[0] in method.style_modules})
    return f"{digest.hexdigest()[:16]}:{sum(map(_magnitude, known.values())):.4f}"


def _magnitude(rows: Tensor) -> float:
    """The logarithm of the root mean square; later numbers have a larger weight, so that the order matters."""
    import torch

    row = rows[0].detach().cpu().double().flatten()
    return math.log(1e-6 + float((row * torch.linspace(1, 2, len(row))).square().mean().sqrt().nan_to_num()))


def keys_match(one: str, other: str) -> bool:
    """Whether two keys belong to models that share their styles."""
    (digest, _, magnitude), (also, _, compared) = one.partition(":"), other.partition(":")
    return digest == also and math.isclose(float(magnitude or 0), float(compared or 0), abs_tol=TOLERANCE)
