"""Buildings and hot-air balloons."""

from __future__ import annotations

import torch

from stylekit_plugins.datasets.scenes.canvas import Canvas, box, ellipse, mix, polygon, step
from stylekit_plugins.datasets.scenes.nature import shadow

ROOFS = ("#b8442e", "#a8553a", "#c4673c", "#6a6f86", "#8a4a3a")
WALLS = ("#f3e6cc", "#ead2a4", "#f6f0e4", "#e3b89a", "#d8dccf")
HOUSE = (-0.62, -1.0, 0.62, 0.12)
CHURCH = (-0.7, -2.2, 0.7, 0.12)


def house(part: Canvas, tower: bool = False) -> None:
    """Draws houses of width 1, seen from a corner with the gable lit, in windows ``HOUSE``.

    Args:
        part: canvas of the windows
        tower: draw churches instead, in windows ``CHURCH``
    """
    wall, roof = part.any_of(WALLS), part.any_of(ROOFS)
    shadow(part, -part.side * 0.2, 0.0, 0.55, 0.08)
    u, v = part.x * -part.side, part.y + part.x * part.side * 0.03
    dark = mix(wall, "#4a4668", 0.42)
    part.fill(dark, box(u, v, -0.12, -0.5, 0.5, 0))
    tiles = step(-0.2, 0.2, torch.sin(v * 55)) * 0.12 + part.rough * 0.1
    part.fill(
        mix(mix(roof, "#2c2038", 0.28), roof, tiles + 0.4),
        polygon(u, v, ((-0.32, -0.92), (0.42, -0.9), (0.58, -0.46), (-0.1, -0.47))),
    )
    gable = polygon(u, v, ((-0.5, -0.48), (-0.31, -0.88), (-0.1, -0.5), (-0.12, 0), (-0.5, 0)))
    part.fill(mix(wall, "#fff4d8", 0.25), gable)
    part.fill(
        mix(roof, "#ffd8a8", 0.2),
        polygon(u, v, ((-0.57, -0.43), (-0.32, -0.95), (-0.28, -0.93), (-0.5, -0.42))),
        0.7,
    )
    pane = torch.maximum((((u - 0.19) / 0.2).remainder(1.0) - 0.5).abs() * 0.2 - 0.05, (v + 0.29).abs() - 0.075)
    part.fill("#34405c", torch.maximum(pane, (u - 0.19).abs() - 0.3), 0.6)
    part.fill("#6a4030", box(u, v, -0.37, -0.24, -0.25, 0), 0.7)
    part.fill("#3c4864", box(u, v, -0.36, -0.58, -0.26, -0.42), 0.6)
    if tower:
        lit = mix(mix(wall, "#4a4668", 0.35), wall, step(0.05, -0.1, u + 0.3))
        part.fill(lit, box(u, v, -0.5, -1.3, -0.1, 0))
        part.fill(
            mix(mix(roof, "#2c2038", 0.35), roof, step(0.06, -0.1, u + 0.3)),
            polygon(u, v, ((-0.56, -1.28), (-0.3, -2.1), (-0.04, -1.28))),
        )
        part.fill("#34405c", box(u, v, -0.36, -1.1, -0.24, -0.85), 0.6)
        part.fill("#6a4030", box(u, v, -0.38, -0.26, -0.22, 0), 0.7)


def balloon(canvas: Canvas, x: float, y: float, height: float, first: str, second: str) -> None:
    """Draws a striped hot-air balloon whose envelope is centred on (x, y)."""
    part = canvas.at(x, y, height, (-0.5, -0.5, 0.5, 0.8))
    u, v = part.x * part.side, part.y
    part.fill("#5a4030", ((part.x.abs() - 0.28 + v * 0.4).abs() - 0.008 + 2.0 * ((v > 0.6) | (v < 0.3))), 0)
    part.fill("#8a5a30", box(u, v, -0.08, 0.58, 0.08, 0.7), 0.9)
    width = 0.40 - 0.28 * step(0.05, 0.52, v)
    bulge = part.x / width
    round_ = (1 - bulge.square()).clamp(min=0.02).sqrt()
    stripes = step(-0.25, 0.25, torch.sin(torch.atan2(bulge, round_) * 6.5))
    light = step(-0.9, 0.9, u * 2 - v * 0.6 + round_ * 0.5 - 0.35)
    cloth = mix(mix(first, second, stripes), "#2a2048", 0.5 * (1 - light))
    envelope = torch.maximum(
        ellipse(part.x, v, 0.40, 0.42) * (v < 0.05) + (part.x.abs() - width) * 0.9 * (v >= 0.05), v - 0.47
    )
    part.fill(mix(cloth, "#fff4d0", 0.25 * step(0.75, 1, light)), envelope)
