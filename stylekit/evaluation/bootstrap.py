"""Confidence intervals of means over pairs of contents and styles."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from stylekit.evaluation.inputs import Pair

DRAWS = 2000
LEVEL = 0.95


def interval(values: Mapping[Pair, float]) -> tuple[float, float] | None:
    """The confidence interval of the mean, by the percentiles of a bootstrap with a fixed seed.

    If each content was combined with each style, contents and styles are resampled independently, because values that share
    a style are alike; otherwise pairs are resampled.

    Returns:
        Its ends; None for a single value.
    """
    if len(values) < 2:
        return None
    means = resampled_means(matrix(values))
    tail = (1 - LEVEL) / 2
    low, high = torch.quantile(means, torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return low, high


def matrix(values: Mapping[Pair, float]) -> Tensor:
    """The values ``(contents, styles)`` of a complete combination, otherwise ``(pairs, 1)``; float64."""
    contents, styles = list(dict.fromkeys(c for c, _ in values)), list(dict.fromkeys(s for _, s in values))
    flat = torch.tensor(list(values.values()), dtype=torch.float64)
    if len(flat) != len(contents) * len(styles):
        return flat[:, None]
    order = {pair: index for index, pair in enumerate(values)}
    return flat[torch.tensor([[order[content, style] for style in styles] for content in contents])]


def resampled_means(table: Tensor) -> Tensor:
    """Means of ``(rows, columns)`` after drawing rows and columns with replacement: ``(DRAWS,)``."""
    generator = torch.Generator().manual_seed(0)

    def counts(length: int) -> Tensor:
        """How often each of the rows or columns was drawn."""
        drawn = torch.randint(length, (DRAWS, length), generator=generator)
        ones = torch.ones(DRAWS, length, dtype=torch.float64)
        return torch.zeros(DRAWS, length, dtype=torch.float64).scatter_add_(1, drawn, ones)

    rows, columns = (counts(length) for length in table.shape)
    return ((rows @ table) * columns).sum(1) / table.numel()
