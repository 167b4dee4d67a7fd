"""Scenes at the water: the seaside, a lake and a harbour at night."""

from __future__ import annotations

import torch

from stylekit_plugins.datasets.scenes.buildings import HOUSE, house
from stylekit_plugins.datasets.scenes.canvas import Canvas, box, ellipse, mix, step
from stylekit_plugins.datasets.scenes.nature import (
    BRIGHT,
    FIELDS,
    MOODS,
    PINE,
    boat,
    land,
    pine,
    shadow,
    sky,
    water,
)


def seaside(canvas: Canvas) -> None:
    """Draws a bay with cliffs, sailing boats and a beach."""
    rng, side = canvas.rng, canvas.side
    mood, horizon = rng.choice(MOODS), rng.uniform(0.4, 0.52)
    sky(canvas, mood, horizon, rng.uniform(0.35, 0.6))
    reach = (canvas.x[0] - 0.5) * -side
    for near in (0, 1):
        line = horizon + 0.02 - (0.22 + 0.05 * near) * step(0.05 + 0.2 * near, 0.28 + 0.2 * near, reach)
        line = line + 0.02 * canvas.profile(40, 0.6) * step(0.0, 0.3, reach)
        land(canvas, line, "#7d9a4c", 0.45 * (1 - near), mood)
        cut = line + 0.035 + 0.02 * canvas.profile(30, 0.5)
        land(canvas, cut, ("#b8ac94", "#d0ac74")[near], 0.45 * (1 - near), mood, 0.5, 0.4)
    water(canvas, horizon, rng.choice(("#2a7f96", "#2f6fa6", "#3f8f8c")), 0.45, 1.2)
    canvas.front()
    beach(canvas, rng.uniform(0.74, 0.84))
    for number in range(rng.randint(2, 4)):
        y = horizon + (0.02, 0.06, 0.14, 0.09)[number]
        sail = rng.choice(("#fff6e4", "#e8603c", "#f4d088"))
        hull = rng.choice(("#8a3a2c", "#2f5a7c", "#5a4a3c"))
        boat(canvas, rng.uniform(0.1, 0.9), y, 0.1 + 1.3 * (y - horizon), sail, hull)


def beach(canvas: Canvas, top: float) -> None:
    """Draws a beach with a line of foam and a parasol."""
    rng, side = canvas.rng, canvas.side
    line = top + 0.03 * canvas.profile(6, 1) + 0.1 * (canvas.x[0] - 0.5) * side
    depth = canvas.y - line
    canvas.fill("#f6f6ee", -depth - 0.02 + canvas.rough * 0.012, 0.3)
    canvas.fill(mix("#b08c5c", "#ecd29a", step(0, 0.07, depth) + canvas.rough * 0.08), 0.012 - depth, 0.2)
    x, y = 0.5 - side * rng.uniform(0.12, 0.3), top + 0.12
    part = canvas.at(x, y, 0.22, (-1.2, -1.1, 1.2, 0.25))
    shadow(part, -side * 0.35, 0.05, 0.5, 0.09)
    part.fill("#f4ead4", torch.maximum(part.x.abs() - 0.015, torch.maximum(part.y, -1 - part.y)), 0.4)
    dome = torch.maximum(ellipse(part.x, part.y + 0.5, 0.6, 0.48), part.y + 0.55 + 0.05 * torch.cos(part.x * 26))
    stripes = step(-0.3, 0.3, torch.sin(part.x * 15))
    cloth = mix(rng.choice(BRIGHT[:4]), "#fbf4e4", stripes)
    part.fill(mix(mix(cloth, "#30264c", 0.4), cloth, step(-0.5, 0.2, part.x * side)), dome)


def lake(canvas: Canvas) -> None:
    """Draws snowy mountains that are reflected in a lake."""
    rng = canvas.rng
    mood, shore = rng.choice(MOODS), rng.uniform(0.54, 0.64)
    sky(canvas, mood, shore - 0.1, rng.uniform(0.3, 0.55))
    haze = mix(mood.low, mood.top, 0.25)
    for number, far in enumerate((0.55, 0.2)):
        peaks = 1 - 0.5 * canvas.profile(5, 0.7).abs() - 0.16 * canvas.profile(20, 0.4).abs()
        line = shore - 0.05 - (0.4 - 0.16 * number) * peaks.clamp(min=0.1) + 0.008 * canvas.profile(60, 0.3)
        depth = canvas.y - line
        # A slope is lit like the ridge diagonally above it.
        ridge = ((canvas.x - 0.45 * canvas.side * depth) * line.numel()).long().clamp_(0, line.numel() - 1)
        slope = torch.gradient(line)[0] / canvas.pixel * canvas.side
        face = step(-0.35, 0.35, 0.4 * slope[ridge] + 0.25 * canvas.rough)
        rock = mix(mix("#3c4258", "#8c7868", face), haze, far)
        snow = mix(mix("#8fa4cc", "#fffaf0", face), haze, 0.5 * far)
        white = step(0.02, -0.02, canvas.y - shore + 0.2 - 0.06 * number - 0.07 * canvas.rough)
        canvas.fill(mix(rock, snow, white), -depth * 0.7, 1 - 0.6 * far)
    land(canvas, shore - 0.05 + 0.02 * canvas.profile(10, 0.6), rng.choice(FIELDS), 0.25, mood)
    for number in (0, 1):
        firs = canvas.row(9 - number, shore - 0.02 + 0.01 * number, 0.09 + 0.03 * number, PINE, 0.8)
        pine(firs, 0.3 - 0.15 * number, haze)
    if rng.random() < 0.6:
        house(canvas.at(rng.uniform(0.2, 0.8), shore - 0.006, 0.13, HOUSE))
    water(canvas, shore, rng.choice(("#2c6a86", "#33748c", "#3c6c94")), 0.75, 0.7)
    if rng.random() < 0.6:
        hull = rng.choice(("#a8402c", "#2f5a7c"))
        boat(canvas, rng.uniform(0.2, 0.8), rng.uniform(0.74, 0.86), 0.2, "#fff2dc", hull)
    canvas.front()
    for _ in range(2):
        pine(canvas.at(0.5 - canvas.side * rng.uniform(0.3, 0.48), 1.02, rng.uniform(0.5, 0.75), PINE))


def harbour(canvas: Canvas) -> None:
    """Draws houses with lit windows along a quay at night."""
    rng = canvas.rng
    top, low = rng.choice((("#16224e", "#4a6aa4"), ("#1c2050", "#b0708c"), ("#12304e", "#e09a5c")))
    shore = rng.uniform(0.55, 0.64)
    canvas.glaze(mix(top, low, step(0.05, shore, canvas.y)), torch.ones(1, 1))
    stars(canvas, shore * 0.75)
    x, y = 0.5 + canvas.side * rng.uniform(0.1, 0.35), rng.uniform(0.1, 0.22)
    distance = ((canvas.x - x).square() + (canvas.y - y).square()).sqrt()
    canvas.glaze("#fff0c0", 0.5 / (1 + (distance / 0.12).square()))
    canvas.fill(mix("#fff6d4", "#e4d0a4", step(-0.3, 0.6, canvas.rough)), distance - rng.uniform(0.05, 0.075))
    canvas.fill(mix(low, "#2c3c64", 0.55), shore - 0.1 + 0.05 * canvas.profile(8, 0.8) - canvas.y, 0.4)
    for number in (0, 1):
        quay(canvas, shore, 10 - 3 * number, 0.2 - 0.05 * number)
    water(canvas, shore, top, 0.72, 1.5)
    canvas.front()
    for _ in range(rng.randint(2, 3)):
        sail = rng.choice(("#d8c8b8", "#c4583c", "#e0b070"))
        hull = rng.choice(("#7a3430", "#2f5070", "#3c6450"))
        boat(canvas, rng.uniform(0.12, 0.88), rng.uniform(0.7, 0.88), rng.uniform(0.16, 0.26), sail, hull)


def stars(canvas: Canvas, bottom: float) -> None:
    """Draws one star in most cells of a grid."""
    above = canvas.at(0, 0, 1, (0, 0, 1, bottom))
    row, column = (above.y * 9).floor().long(), (above.x * 9).floor().long()
    chance = canvas.table(300)
    which = (row * 9 + column) * 3
    u = above.x * 9 - column - 0.2 - 0.6 * chance[which]
    v = above.y * 9 - row - 0.2 - 0.6 * chance[which + 1]
    size = 0.012 + 0.07 * chance[which + 2].square()
    above.glaze("#fff4cc", (size / (u.square() + v.square()).sqrt().clamp(min=0.02) - 0.22).clamp(0, 1))


def quay(canvas: Canvas, foot: float, count: int, height: float) -> None:
    """Draws a row of ``count`` gabled houses with lit windows along the water."""
    rng, side = canvas.rng, canvas.side
    band = canvas.at(0, foot, 1, (0, -height * 1.9, 1, 0))
    position = band.x * count + rng.random()
    column = position.floor().long()
    tall, hue, lamp = (canvas.table(count + 1) for _ in range(3))
    u = position - column - 0.5
    eaves = -height * (0.55 + 0.6 * tall[column])
    gable = torch.maximum(u.abs() - 0.5, (eaves - band.y) * count * 0.7 + u.abs() - 0.3) / count
    warm, cold = mix("#6a3c48", "#b8846c", hue[column]), mix("#3c4a74", "#8c8496", hue[column])
    wall = mix(warm, cold, (lamp[column] > 0.5).float())
    wall = mix(wall, "#141a38", 0.55 - 0.3 * step(-0.5, 0.5, u * side))
    roof = mix("#2c2444", "#7a3c3c", tall[column]).expand_as(wall)
    band.fill(torch.where(band.y < eaves, roof, wall), torch.maximum(gable, band.y), 0.9)
    across, down = u * 3.4 + 0.5, (band.y - eaves) / height * 4.2
    pane = box(across.remainder(1.0), down.remainder(1.0), 0.26, 0.27, 0.74, 0.83)
    pane = torch.maximum(pane, torch.maximum(u.abs() * 3.4 - 1.45, -down))
    window = (column * 29 + across.floor() * 7 + down.floor() * 13).long()
    lit = (canvas.table(97)[window.remainder(97)] > 0.35).float()
    band.fill(mix("#1c2444", "#ffd468", lit), torch.maximum(pane / (3.4 * count), band.y), 0.35)
