"""Paths through the codes from which a method draws images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

PARALLEL = 0.9995
"""Cosine of the angle above which a straight line takes the place of a great circle."""


def great_circle(start: Tensor, end: Tensor, share: float) -> Tensor:
    """The code at a share of the way from one code to another, on a great circle, with a length between theirs.

    Codes of a normal distribution all have about the same length; on a straight line, they would be shorter than any that
    the generator has seen (White 2016, "Sampling generative networks").

    Args:
        start: a code of any shape
        end: another of that shape
        share: from 0 to 1
    """
    lengths = start.norm(), end.norm()
    if not float(lengths[0] * lengths[1]):
        return torch.lerp(start, end, share)
    one, other = start / lengths[0], end / lengths[1]
    cosine = (one * other).sum().clamp(-1, 1)
    if abs(float(cosine)) > PARALLEL:
        return torch.lerp(start, end, share)
    angle = cosine.arccos()
    direction = (((1 - share) * angle).sin() * one + (share * angle).sin() * other) / angle.sin()
    code: Tensor = torch.lerp(*lengths, share) * direction
    return code


def closed_path(codes: Sequence[Tensor], steps: int) -> Iterator[Tensor]:
    """``steps`` codes from each to the next, the last being followed by the first."""
    for index, start in enumerate(codes):
        end = codes[(index + 1) % len(codes)]
        for step in range(steps):
            yield great_circle(start, end, step / steps)
