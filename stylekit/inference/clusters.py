"""Clusters the statistics of many images into a few looks."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from stylekit.method import Statistics


def cluster_styles(described: Iterable[Statistics], looks: int) -> tuple[Statistics, Tensor]:
    """Clusters the statistics of many images into a few looks. Each look is the average of the images in its cluster.

    k-means on the statistics, each divided by its own spread so that all have the same weight. The initial centres are
    images far from each other (Arthur and Vassilvitskii 2007, but deterministic).

    Args:
        described: what ``describe`` returned for each image, one row each
        looks: maximum number of looks

    Returns:
        The statistics with one row per look, and the share of the images in each look; the largest first.
    """
    images = list(described)
    rows = {name: torch.cat([each[name] for each in images]) for name in images[0]}
    points = torch.cat([_scaled(each.flatten(1).double().cpu()) for each in rows.values()], 1)
    nearest = _cluster(points, min(looks, len(points)))
    groups = sorted((nearest == group for group in nearest.unique()), key=lambda members: -int(members.sum()))
    statistics = {name: torch.stack([each[members].mean(0) for members in groups]) for name, each in rows.items()}
    return statistics, torch.stack([members.float().mean() for members in groups])


def _scaled(rows: Tensor) -> Tensor:
    """Rows minus their mean, scaled to a mean squared length of 1."""
    centred = rows - rows.mean(0)
    return centred / centred.square().sum(1).mean().sqrt().clamp(min=1e-12)


def _cluster(points: Tensor, count: int, iterations: int = 50) -> Tensor:
    """k-means: the index of the cluster of each point ``(K, D)``."""
    centres = points[points.norm(dim=1).argmin()][None]
    while len(centres) < count:
        centres = torch.cat([centres, points[torch.cdist(points, centres).amin(1).argmax()][None]])
    nearest = torch.cdist(points, centres).argmin(1)
    for _ in range(iterations):
        centres = torch.stack([
            points[nearest == group].mean(0) if bool((nearest == group).any()) else centres[group]
            for group in range(count)
        ])  # fmt: skip
        previous, nearest = nearest, torch.cdist(points, centres).argmin(1)
        if torch.equal(previous, nearest):
            break
    return nearest
