"""Clusters: the statistics of many images condensed into a few looks."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from stylekit.method import Statistics


def cluster_styles(described: Iterable[Statistics], looks: int) -> tuple[Statistics, Tensor]:
    """Gathers the statistics of many pictures into a few looks: clusters, each the average of its pictures.

    k-means on the statistics, each divided by its own spread so that all count alike, started from pictures far from each
    other (Arthur and Vassilvitskii 2007, without the dice).

    Args:
        described: what ``describe`` gave for each picture, one row each
        looks: how many at most

    Returns:
        The statistics with a row a look, and the share of pictures of each; the largest first.
    """
    pictures = list(described)
    rows = {name: torch.cat([each[name] for each in pictures]) for name in pictures[0]}
    points = torch.cat([_scaled(each.flatten(1).double().cpu()) for each in rows.values()], 1)
    nearest = _cluster(points, min(looks, len(points)))
    groups = sorted((nearest == group for group in nearest.unique()), key=lambda members: -int(members.sum()))
    statistics = {name: torch.stack([each[members].mean(0) for members in groups]) for name, each in rows.items()}
    return statistics, torch.stack([members.float().mean() for members in groups])


def _scaled(rows: Tensor) -> Tensor:
    """Brought to a mean squared distance of 1 from their middle."""
    away = rows - rows.mean(0)
    return away / away.square().sum(1).mean().sqrt().clamp(min=1e-12)


def _cluster(points: Tensor, count: int, rounds: int = 50) -> Tensor:
    """The number of the cluster of each point ``(K, D)``."""
    centres = points[points.norm(dim=1).argmin()][None]
    while len(centres) < count:
        centres = torch.cat([centres, points[torch.cdist(points, centres).amin(1).argmax()][None]])
    nearest = torch.cdist(points, centres).argmin(1)
    for _ in range(rounds):
        centres = torch.stack([
            points[nearest == group].mean(0) if bool((nearest == group).any()) else centres[group]
            for group in range(count)
        ])  # fmt: skip
        before, nearest = nearest, torch.cdist(points, centres).argmin(1)
        if torch.equal(before, nearest):
            break
    return nearest
