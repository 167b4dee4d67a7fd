"""Scenes in the countryside: hills, a village and a meadow with flowers."""

from __future__ import annotations

import torch

from stylekit_plugins.datasets.scenes.buildings import CHURCH, HOUSE, balloon, house
from stylekit_plugins.datasets.scenes.canvas import Canvas, mix, step
from stylekit_plugins.datasets.scenes.nature import (
    BRIGHT,
    FIELDS,
    LEAVES,
    MOODS,
    TREE,
    land,
    meadow,
    sky,
    tree,
)

BEDS = (
    ("#d8392c", "#e0503c", "#f3c13a"),
    ("#7a5ab8", "#d86a9c", "#f4ecd8"),
    ("#f3c13a", "#f08030", "#f4ecd8"),
)
"""Colours of the flowers in a meadow."""


def hills(canvas: Canvas) -> None:
    """Draws hilly fields with trees, sometimes with balloons."""
    rng = canvas.rng
    mood, horizon = rng.choice(MOODS), rng.uniform(0.38, 0.5)
    sky(canvas, mood, horizon, rng.uniform(0.3, 0.6))
    haze = mix(mood.low, mood.top, 0.25)
    line = horizon + 0.05 * canvas.profile(10, 0.8)
    land(canvas, line, "#5f7f8a", 0.8, mood)
    for number, far in enumerate((0.5, 0.28, 0.1, 0.0)):
        if number == 2:
            canvas.front()
        line = horizon + 0.05 + 0.13 * number + (0.04 + 0.012 * number) * canvas.profile(6, 1.0)
        land(canvas, line, rng.choice(FIELDS), far, mood)
        height = (0.07, 0.11, 0.18, 0.3)[number]
        grove = canvas.row(int(0.95 / height), line + 0.01 + 0.02 * number, height, TREE, 0.55)
        tree(grove, grove.any_of(rng.sample(LEAVES, 2)), 0.6 * far, haze)
    furrows(canvas, float(line.mean()) + 0.04)
    for _ in range(rng.choice((0, 1, 3))):
        first, second = rng.sample(BRIGHT, 2)
        x, y = rng.uniform(0.12, 0.88), horizon * rng.uniform(0.2, 0.75)
        balloon(canvas, x, y, rng.uniform(0.09, 0.24), first, second)


def furrows(canvas: Canvas, top: float) -> None:
    """Darkens rows that recede from the viewer, on the ground below ``top``."""
    below = canvas.at(canvas.rng.uniform(0.2, 0.8), top - 0.12, 1, (-1, 0.12, 1, 1))
    rows = step(-0.6, 0.6, torch.sin(below.x / below.y * 26) + below.rough * 0.5)
    below.glaze("#3c4a20", rows * 0.28 * step(0.12, 0.2, below.y))


def village(canvas: Canvas) -> None:
    """Draws houses and a church between trees on a slope."""
    rng = canvas.rng
    mood, horizon = rng.choice(MOODS), rng.uniform(0.3, 0.38)
    sky(canvas, mood, horizon, rng.uniform(0.3, 0.6))
    haze = mix(mood.low, mood.top, 0.25)
    land(canvas, horizon - 0.02 + 0.07 * canvas.profile(8, 0.8), "#5c7c88", 0.75, mood)
    land(canvas, horizon + 0.08 + 0.05 * canvas.profile(6, 1), rng.choice(FIELDS), 0.4, mood)
    land(canvas, horizon + 0.17 + 0.03 * canvas.profile(5, 1), rng.choice(FIELDS), 0.1, mood)
    church = rng.randint(0, 2)
    for number in range(4):
        if number == 2:
            canvas.front()
        width = (0.13, 0.17, 0.22, 0.28)[number]
        foot = horizon + 0.19 + 0.11 * number + 0.02 * canvas.profile(5, 1)
        if number == church:
            house(canvas.at(rng.uniform(0.2, 0.8), float(foot[0]), 1.1 * width, CHURCH), tower=True)
        house(canvas.row(int(0.8 / width), foot, width, HOUSE, 0.8))
        grove = canvas.row(int(0.95 / width), foot + 0.015, 0.85 * width, TREE, 0.5)
        tree(grove, grove.any_of(LEAVES[:5]), 0.15 - 0.05 * number, haze)
    meadow(canvas, 0.91, tuple(rng.sample(BRIGHT, 2)), 0.25)


def poppies(canvas: Canvas) -> None:
    """Draws a meadow with flowers in front of a farm."""
    rng = canvas.rng
    mood, horizon = rng.choice(MOODS), rng.uniform(0.4, 0.5)
    sky(canvas, mood, horizon, rng.uniform(0.35, 0.65))
    haze = mix(mood.low, mood.top, 0.25)
    land(canvas, horizon - 0.03 + 0.05 * canvas.profile(8, 0.8), "#5c7c88", 0.7, mood)
    line = horizon + 0.02 + 0.012 * canvas.profile(6, 1)
    land(canvas, line, rng.choice(FIELDS), 0.25, mood)
    for number in (0, 1):
        grove = canvas.row(7 - number, line + 0.01 + 0.015 * number, 0.11 + 0.03 * number, TREE, 0.7)
        tree(grove, grove.any_of(LEAVES[:4]), 0.25, haze)
    house(canvas.at(rng.uniform(0.2, 0.8), horizon + 0.07, rng.uniform(0.17, 0.24), HOUSE))
    canvas.front()
    near = horizon + 0.08 + 0.015 * canvas.profile(5, 1)
    land(canvas, near, rng.choice(("#7da245", "#9cae4c", "#6b9a4a")), 0, mood, bumps=0.2)
    meadow(canvas, horizon + 0.1, rng.choice(BEDS), 0.45)
    if rng.random() < 0.5:
        oak = canvas.at(0.5 - canvas.side * rng.uniform(0.25, 0.4), 0.93, rng.uniform(0.6, 0.75), TREE)
        tree(oak, rng.choice(LEAVES[:3]))
