"""A still life: fruit and a vase with flowers on a table."""

from __future__ import annotations

import torch
from torch import Tensor

from stylekit_plugins.datasets.scenes.canvas import Canvas, box, ellipse, mix, step
from stylekit_plugins.datasets.scenes.nature import shadow

SKINS = {
    "apple": ("#5a1020", "#c82a26", "#f08a48"),
    "green apple": ("#2c4a18", "#86b030", "#d4e070"),
    "lemon": ("#907018", "#f0d03a", "#fff090"),
    "orange": ("#8a3a10", "#ee8a1c", "#ffc05a"),
    "pear": ("#586018", "#b4b838", "#ece88c"),
    "plum": ("#241838", "#5c3a78", "#a890c4"),
}
"""Colours of each fruit: in shade, half-lit and lit."""


def table(canvas: Canvas) -> None:
    """Draws a still life: a vase with flowers, and fruit, on a tablecloth."""
    rng, side = canvas.rng, canvas.side
    wall = rng.choice(("#7f9aa0", "#c4a878", "#9a6a58", "#7a8c66", "#8a88a8"))
    light = step(1.2, 0.0, ((canvas.x - 0.5 - side * 0.5).square() + (canvas.y - 0.1).square()).sqrt())
    blotch = canvas.noise(24, 1.3, finest=3)
    dim, bright = mix(wall, "#241c30", 0.55), mix(wall, "#fff0d0", 0.4)
    canvas.glaze(mix(dim, bright, light + 0.08 * blotch), torch.ones(1, 1))
    edge = rng.uniform(0.58, 0.66)
    cloth(canvas, edge)
    x, foot, height = (
        0.5 + side * rng.uniform(-0.2, 0.24),
        edge + rng.uniform(0.06, 0.1),
        rng.uniform(0.3, 0.38),
    )
    canvas.front()
    paint, band = rng.sample(("#2f5a94", "#e8e0d0", "#a8482c", "#3c7a6c", "#d8a840"), 2)
    if rng.random() < 0.85:
        bouquet(canvas, x, foot - 0.96 * height, rng.uniform(0.2, 0.25))
    vase(canvas, x, foot, height, paint, band)
    # From back to front.
    for y, position in sorted((rng.uniform(edge + 0.1, 0.93), number + rng.uniform(0.2, 0.8)) for number in range(6)):
        radius = rng.uniform(0.055, 0.075) * (0.6 + 0.6 * y)
        fruit(canvas, 0.06 + 0.147 * position, y, radius, rng.choice(list(SKINS)))


def cloth(canvas: Canvas, edge: float) -> None:
    """Draws a table with a chequered tablecloth, whose far edge is at ``edge``."""
    rng = canvas.rng
    paint = rng.choice(("#c4483c", "#3f6ea0", "#6a9458", "#d8a03c"))
    part = canvas.at(0.5, edge - 0.35, 1, (-0.5, 0.3, 0.5, 1))
    across, down = part.x / part.y * 7, 0.35 / part.y * 14
    check = step(-0.2, 0.2, torch.sin(across * 3.14)) + step(-0.2, 0.2, torch.sin(down * 3.14))
    dim = (0.3 - 0.35 * step(-0.6, 0.5, part.x * part.side)).clamp(min=0)
    linen = mix(mix("#f4ead8", paint, 0.5 * check), "#2c2440", dim)
    fold = part.rough * 0.03 + canvas.noise(12, 1.0, stretch=2, finest=2)[-part.rgb.shape[1] :] * 0.05
    part.fill((linen + fold).clamp(0, 1), (0.35 - part.y).expand_as(part.ink))


def ball(canvas: Canvas, x: Tensor, y: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """Computes the light (0 to 1) on a ball around the origin, and its highlight."""
    u, v = x / radius, y / radius
    front = (1 - u * u - v * v).clamp_(min=0).sqrt_()
    light = (u * (0.55 * canvas.side) - v * 0.5 + front * 0.67).clamp_(0, 1)
    return light, step(0.93, 1.0, light)


def fruit(canvas: Canvas, x: float, y: float, radius: float, kind: str) -> None:
    """Draws a fruit of the given ``kind``, a key of ``SKINS``, standing at (x, y)."""
    part = canvas.at(x, y - radius, radius, (-2.6, -2.1, 2.6, 1.4))
    shadow(part, -part.side * 0.7, 0.9, 1.5, 0.33, 0.55)
    u, v = part.x, part.y
    wide, high = {"lemon": (1.15, 0.82), "plum": (0.9, 0.95)}.get(kind, (1.0, 0.97))
    shape = ellipse(u, v - 0.97 + high, wide, high)
    light, gleam = ball(part, u, v, 1.02)
    if kind == "pear":
        neck = ellipse(u, v + 1.05, 0.5, 0.66)
        near = (0.5 - (neck - shape) / 0.8).clamp(0, 1)
        shape = torch.lerp(shape, neck, near) - 0.2 * near * (1 - near)
        light = torch.lerp(light, ball(part, u, v + 1.05, 0.6)[0], near)
    dark, middle, bright = SKINS[kind]
    tone = light + part.rough * 0.06
    skin = mix(mix(dark, middle, step(0.05, 0.6, tone)), bright, step(0.55, 1.05, tone))
    part.fill(mix(skin, "#ffffff", gleam * 0.75), shape)
    if kind in ("apple", "green apple", "pear"):
        top = -1.68 if kind == "pear" else -0.92
        part.fill("#4a3018", box(u - 0.12 * (v - top), v, -0.05, top - 0.36, 0.05, top + 0.1), 0.3)


def vase(canvas: Canvas, x: float, y: float, height: float, paint: str, band: str) -> None:
    """Draws a vase with painted bands, standing at (x, y)."""
    rng = canvas.rng
    belly, neck = rng.uniform(0.26, 0.36), rng.uniform(0.1, 0.16)
    part = canvas.at(x, y, height, (-1.0, -1.08, 1.0, 0.14))
    shadow(part, -part.side * 0.28, -0.01, 0.5, 0.085, 0.55)
    up = -part.y
    swell, shrink = (belly - neck - 0.05) * step(0, 0.4, up), (belly - neck) * step(0.42, 0.86, up)
    width = neck + 0.05 + swell - shrink + 0.06 * step(0.9, 1, up)
    across = part.x / width
    light = (0.5 + 0.5 * across * part.side - 0.32 * across.square()).clamp(0, 1)
    bands = step(0.015, 0, (up - 0.44).abs() - 0.07) + step(0.012, 0, (up - 0.84).abs() - 0.018)
    glaze = mix(paint, band, bands)
    light = step(0.05, 0.85, light + part.rough * 0.04)
    glaze = mix(mix(glaze, "#181430", 0.72), mix(glaze, "#fff0d0", 0.12), light)
    gleam = step(0.16, 0.02, (across * part.side - 0.45).abs()) * step(0.25, 0.05, (up - 0.52).abs())
    foot = -up - 0.12 * (width.square() - part.x.square()).clamp(min=0)
    shape = torch.maximum((part.x.abs() - width) * 0.8, torch.maximum(up - 1, foot))
    part.fill(mix(glaze, "#ffffff", gleam * 0.6), shape)


def flower(canvas: Canvas, x: float, y: float, radius: float, paint: str, centre: str) -> None:
    """Draws a flower head centred on (x, y)."""
    turn = canvas.rng.uniform(0, 6)
    part = canvas.at(x, y, radius, (-1.2, -1.2, 1.2, 1.2))
    distance = (part.x.square() + part.y.square()).sqrt()
    petals = torch.cos(torch.atan2(part.y, part.x) * 7 + turn)
    light = step(-1.1, 1.1, part.x * part.side - part.y + petals * 0.5)
    part.fill(mix(mix(paint, "#38183c", 0.4), mix(paint, "#ffffff", 0.3), light), distance - 0.85 - 0.16 * petals)
    part.fill(mix(centre, "#2a1810", step(-0.2, 0.3, -part.x * part.side + part.y) * 0.4), distance - 0.32, 0.8)


def bouquet(canvas: Canvas, x: float, y: float, reach: float) -> None:
    """Draws a bouquet of leaves and flowers above (x, y), the opening of a vase."""
    rng = canvas.rng
    part = canvas.at(x, y, reach, (-1.2, -1.5, 1.2, 0.2))
    angle = torch.atan2(part.y + 0.55, part.x)
    distance = (part.x.square() + (part.y + 0.55).square()).sqrt()
    edge = 0.62 + 0.2 * torch.sin(angle * 15 + rng.uniform(0, 6)) + part.rough * 0.1
    light = step(-0.8, 0.8, part.x * part.side - part.y * 0.4 - 0.3 + part.rough * 0.6)
    part.fill(mix("#1e3a26", "#7fa044", light), (distance - edge) * 0.4, 0.9)
    hues = rng.sample(("#e0503c", "#f2b632", "#d86a9c", "#f6efe0", "#6a6cc8", "#f08a3c"), 3)
    for number in range(8):
        spread = (number % 4 - 1.5) / 1.7 + rng.uniform(-0.12, 0.12)
        height = (0.95 - 0.35 * abs(spread)) if number < 4 else 0.42
        left, up = spread * (0.95 if number < 4 else 0.6), height * rng.uniform(0.9, 1.15)
        paint = hues[number % 3]
        centre = "#7a4420" if paint == "#f2b632" else "#e8b030"
        flower(canvas, x + left * reach, y - up * reach, rng.uniform(0.2, 0.27) * reach, paint, centre)
