"""The forest scene."""

from __future__ import annotations

import torch

from stylekit_plugins.datasets.scenes.canvas import Canvas, box, ellipse, mix, step
from stylekit_plugins.datasets.scenes.nature import shadow


def forest(canvas: Canvas) -> None:
    """Draws a forest in haze, with a path and toadstools."""
    rng, side = canvas.rng, canvas.side
    glow, leaf = rng.choice(
        (("#f2ecb4", "#7c9c3c"), ("#fbdca0", "#c08a34"), ("#d9ead0", "#4f8a4c"), ("#f4d4b0", "#b8642c"))
    )
    ground = rng.uniform(0.6, 0.68)
    light = step(0.75, 0.0, ((canvas.x - 0.5 - side * 0.2).square() + (canvas.y - 0.35).square()).sqrt())
    canvas.glaze(mix(mix(leaf, "#20402c", 0.35), glow, light), torch.ones(1, 1))
    for number, far in enumerate((0.75, 0.55, 0.3, 0.0)):
        floor = ground - 0.08 + 0.07 * number + 0.02 * canvas.profile(6, 1)
        earth = mix(mix("#5a6a2c", leaf, 0.4), glow, 0.8 * far)
        spots = step(0, 0.9, canvas.rough + light - 0.4)
        canvas.fill(mix(earth, mix(earth, "#fff0a0", 0.35), spots), floor - canvas.y, 0.4)
        trunks(canvas, (14, 9, 5, 3)[number], 0.008 + 0.011 * number, floor + 0.02, glow, far)
        crown = canvas.noise(48, 1.0, finest=5) * 0.14 + canvas.rough * 0.04
        shape = canvas.y - (0.3 - 0.045 * number) - crown
        bright = step(-0.12, 0.14, crown + 0.1 * light)
        leaves = mix(mix(leaf, "#16382c", 0.5), mix(leaf, "#fff4a0", 0.45), bright)
        canvas.fill(mix(leaves, glow, 0.8 * far), shape, 0.7 * (1 - far))
    ray = step(0.15, 0.85, torch.sin((canvas.x * side + canvas.y * 0.7) * 15 + rng.uniform(0, 6)))
    canvas.glaze("#fff4c8", ray * 0.22 * step(0.9, 0.2, canvas.y))
    path(canvas, ground + 0.05)
    canvas.front()
    for _ in range(rng.randint(3, 6)):
        x, y = rng.choice((rng.uniform(0.04, 0.3), rng.uniform(0.7, 0.96))), rng.uniform(0.84, 0.97)
        toadstool(canvas, x, y, rng.uniform(0.07, 0.13))


def trunks(canvas: Canvas, count: int, width: float, floor: torch.Tensor, glow: str, far: float) -> None:
    """Draws a row of tree trunks, one in each of ``count`` columns."""
    position = canvas.x * count + canvas.rng.random()
    column = position.floor().long()
    middle, thick = 0.3 + 0.4 * canvas.table(count + 1), 0.65 + 0.7 * canvas.table(count + 1)
    across = (position - column - middle[column]) / count + 0.006 * torch.sin(canvas.y * 9 + 5 * middle[column])
    half = thick[column] * width * (1 + 0.6 * step(-0.12, 0.02, canvas.y - floor))
    bark = step(-0.9, 0.9, across / half * canvas.side + canvas.rough * 0.35)
    paint = mix(mix("#2c2024", "#a8805c", bark), glow, 0.8 * far)
    canvas.fill(paint, torch.maximum(across.abs() - half, canvas.y - floor), 0.9 * (1 - far))


def path(canvas: Canvas, top: float) -> None:
    """Draws a winding path towards the viewer."""
    depth = ((canvas.y - top) / (1 - top)).clamp(min=0)
    middle = 0.5 + 0.1 * torch.sin(depth * 4 + canvas.rng.uniform(0, 6)) * (1.2 - depth)
    shape = (canvas.x - middle).abs() - 0.02 - 0.2 * depth.square() + canvas.rough * 0.012
    sand = mix("#a88860", "#e8d0a0", step(-0.6, 0.6, canvas.rough))
    canvas.fill(sand, torch.maximum(shape * 0.8, top - canvas.y), 0.5)


def toadstool(canvas: Canvas, x: float, y: float, height: float) -> None:
    """Draws a red toadstool with white dots."""
    part = canvas.at(x, y, height, (-1.1, -1.1, 1.1, 0.2))
    shadow(part, -part.side * 0.3, 0, 0.5, 0.12)
    lean = part.x * part.side
    part.fill(mix("#a89478", "#fff4dc", step(-0.12, 0.1, lean)), box(part.x, part.y, -0.12, -0.6, 0.12, 0))
    cap = torch.maximum(ellipse(part.x, part.y + 0.5, 0.58, 0.5), part.y + 0.48 - 0.12 * (1 - 3 * part.x.square()))
    part.fill(mix("#7a1420", "#e8402c", step(-0.6, 0.5, lean - part.y - 0.6)), cap)
    for x, y, radius in ((-0.3, -0.62, 0.07), (0.02, -0.82, 0.09), (0.32, -0.6, 0.075), (0.0, -0.54, 0.06)):
        part.fill("#fff6ea", ellipse(part.x - x, part.y - y, radius, radius), 0.3)
