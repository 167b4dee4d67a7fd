"""Sky, land, water, plants and boats."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from stylekit_plugins.datasets.scenes.canvas import Canvas, Paint, box, mix, polygon, step


class Mood(NamedTuple):
    """Colours of the sky (at the top and at the horizon), of the sun, and of the lit and shaded parts of clouds."""

    top: str
    low: str
    sun: str
    cloud: str
    shade: str


MOODS = (
    Mood("#2f74c0", "#d3e8f1", "#fff8dc", "#ffffff", "#a9bccf"),
    Mood("#5c9bd0", "#f8e2c4", "#fff0b8", "#fff6e6", "#b9b6c4"),
    Mood("#456cb2", "#fbc184", "#fff0b0", "#ffdcae", "#b78a8e"),
    Mood("#6a70b4", "#f6b3a4", "#ffe6b4", "#ffd5c4", "#a887a6"),
)


def sky(canvas: Canvas, mood: Mood, horizon: float, clouds: float = 0.5) -> None:
    """Fills the image with sky, a sun on the side of the light, and clouds that cover about the share ``clouds`` of it."""
    rng = canvas.rng
    canvas.glaze(mix(mood.top, mood.low, step(-0.1, horizon + 0.05, canvas.y)), torch.ones(1, 1))
    sun_x, sun_y = 0.5 + canvas.side * rng.uniform(0.15, 0.38), horizon * rng.uniform(0.2, 0.75)
    distance = ((canvas.x - sun_x).square() + (canvas.y - sun_y).square()).sqrt_()
    canvas.glaze(mood.sun, 0.75 / (1 + (distance / 0.11).square()))
    canvas.fill(mood.sun, distance - rng.uniform(0.035, 0.055), ink=0.7)
    density = canvas.noise(64, 1.5, stretch=2.2, finest=4)
    threshold = 0.5 - clouds + 0.9 * step(horizon * 0.55, horizon, canvas.y)
    cover = step(0, 0.5, density - threshold)
    # Clouds are lit where they become thinner upwards and towards the sun's side.
    size = density.shape[0]
    number, offset = torch.arange(size), max(1, round(0.03 * size))
    row, column = (number - offset).clamp(min=0), (number + canvas.side * offset).clamp(0, size - 1)
    lit = step(-0.35, 0.35, density - density[row][:, column] + 0.12)
    canvas.glaze(mix(mood.shade, mood.cloud, lit), cover * 0.95)
    canvas.ink.mul_(1 - cover)


def land(
    canvas: Canvas, height: Tensor, paint: Paint, far: float, mood: Mood, bumps: float = 0.1, ink: float = 1
) -> None:
    """Fills everything below the line ``height`` (W,), shaded by its slope, and paler the larger ``far`` (0 to 1)."""
    slope = torch.gradient(height)[0] / canvas.pixel
    near = 1 - 0.75 * far
    light = slope * (canvas.side * 0.22 * near) + canvas.rough * (bumps * near)
    depth = canvas.y - height
    light = light + (0.06 - 0.25 * depth) * near
    base = mix(paint, mix(mood.low, mood.top, 0.25), 0.8 * far)
    canvas.fill((base * (1 + light)).clamp_(0, 1), -depth / (1 + slope.square()).sqrt(), ink * (1 - 0.6 * far))


def shadow(part: Canvas, x: float, y: float, width: float, height: float, depth: float = 0.45) -> None:
    """Draws a soft shadow, a dark ellipse on the ground."""
    near = (((part.x - x) / width).square() + ((part.y - y) / height).square()).sqrt_()
    part.glaze("#1e2438", (1 - step(0.3, 1.5, near)) * depth)


FIELDS = ("#7da245", "#9cae4c", "#d9b64e", "#6b9a4a", "#b7bb58", "#c98f4a")
BRIGHT = ("#d8392c", "#f3c13a", "#2f7fb8", "#f08030", "#7a4a9c", "#f4ecd8")
LEAVES = ("#4f7d2e", "#6d9436", "#8fa63c", "#3f7044", "#c08a2e", "#b7642c")
TREE = (-0.5, -1.1, 0.5, 0.1)
PINE = (-0.34, -1.05, 0.34, 0.03)


def tree(part: Canvas, paint: Paint, far: float = 0, haze: Paint = "#ffffff") -> None:
    """Draws deciduous trees of height 1 in windows ``TREE``."""
    shadow(part, -part.side * 0.12, 0, 0.3, 0.06, 0.4 * (1 - far))
    lean = part.x * part.side
    trunk = torch.maximum((part.x.abs() - 0.035).expand_as(part.ink), (part.y + 0.35).abs() - 0.35)
    part.fill(mix(mix("#4a3226", "#8a6a4c", step(-0.03, 0.03, lean)), haze, far), trunk, 0.8)
    crown = (part.x.square() + (part.y + 0.68).square()).sqrt_() - part.each(0.2, 0.3)
    for left in (-1, 0, 1):
        x, y = part.each(0.12, 0.2) * left, part.each(-0.88, -0.72) if left == 0 else part.each(-0.7, -0.46)
        blob = ((part.x - x).square() + (part.y - y).square()).sqrt_() - part.each(0.13, 0.2)
        crown = torch.minimum(crown, blob)
    crown = crown + part.rough * 0.035
    light = step(-0.42, 0.42, lean - (part.y + 0.66) - crown * 0.7 - 0.12 + part.rough * 0.22)
    leaves = mix(mix(paint, "#16302c", 0.62), mix(paint, "#fff2a0", 0.38), light)
    part.fill(mix(leaves, haze, far) if far else leaves, crown, 0.9 * (1 - far))


def pine(part: Canvas, far: float = 0, haze: Paint = "#ffffff") -> None:
    """Draws conifers of height 1 in windows ``PINE``."""
    trunk = torch.maximum((part.x.abs() - 0.03).expand_as(part.ink), (part.y + 0.1).abs() - 0.1)
    part.fill(mix("#553c2c", haze, far), trunk, 0.5)
    tier = (-part.y * 5.0).remainder(1.0)
    reach = (1.02 + part.y) * 0.2 + (1 - tier) * 0.085 * (1.1 + part.y)
    shape = part.x.abs() - reach + part.rough * 0.03
    shape = torch.maximum(shape, (part.y + 0.56).abs() - 0.44) * 0.9
    light = step(-0.3, 0.3, part.x * part.side + 0.12 * (0.5 - tier) + part.rough * 0.15)
    part.fill(mix(mix("#17382f", "#6d9a4c", light), haze, far), shape, 0.8 * (1 - far))


def meadow(canvas: Canvas, top: float, flowers: tuple[str, ...], share: float = 0.3) -> None:
    """Draws flowers everywhere below ``top``, larger towards the viewer."""
    below = canvas.at(0, 0, 1, (0, top, 1, 1))
    for number, paint in enumerate(flowers):
        across = (0.015 + 0.12 * (below.y - top)) * (1 + 0.1 * number)
        # The distance of rows is 3/4 of that of flowers in a row; the row number is the integral of 1 / (0.75 across).
        row = across.log() / 0.09 + 0.37 * number
        level = row.floor()
        column = (below.x - 0.5) / across + 7.3 * level + number * 3.1
        which = (column.floor() * 37 + level * 131).long()
        chance, off, drop = (canvas.table(997)[which.remainder(997)] for _ in range(3))
        u = column - column.floor() - 0.5 - 0.35 * (off - 0.5)
        v = row - level - 0.5 - 0.4 * (drop - 0.5)
        dense = share + 0.5 * below.rough - 0.4 * step(0.03, 0, below.y - top)
        size = 0.30 - 0.5 * (chance > dense)
        spot = ((u.square() + (v * 0.85).square()).sqrt() - size) * across
        lit = step(-0.5, 0.5, (u * canvas.side - v) * 1.6)
        below.fill(mix(mix(paint, "#30203c", 0.3), mix(paint, "#ffffff", 0.15), lit), spot, 0.7)


def water(canvas: Canvas, shore: float, tint: str, clear: float = 0.6, swell: float = 1) -> None:
    """Turns everything below ``shore`` into water that reflects the image above it."""
    size = canvas.rgb.shape[1]
    first = round(shore * size)
    depth = (canvas.y[first:] - shore).clamp(min=0)
    wave = canvas.noise(64, 0.8, stretch=6, finest=12)[first:]
    wave = wave + 0.35 * torch.sin(60 * (depth / (0.12 + depth)) * 3.1 + 5 * wave)
    rise = wave * (0.012 + 0.07 * depth) * swell
    rows = ((2 * shore - canvas.y[first:] - 0.004 + rise) * size).long().clamp(0, max(first - 1, 0))
    sway = (torch.arange(size) + (rise * (0.3 * size)).long()).clamp(0, size - 1)
    reflected = canvas.rgb.flatten(1)[:, (rows * size + sway).flatten()].view(3, *rows.shape)
    below = canvas.at(0, 0, 1, (0, (first + 0.25) / size, 1, 1))  # within that row in spite of rounding
    light = (wave * (0.10 + 0.1 * depth)) * swell
    surface = mix(mix(tint, reflected, clear), tint, 0.45 * step(0, 0.6, depth)) + light
    below.glaze(surface.clamp_(0, 1), torch.ones(1, 1))
    below.ink.copy_((0.6 - (depth * size - 0.5).abs() / canvas.pen).clamp(0, 0.6).expand_as(below.ink))


def boat(canvas: Canvas, x: float, y: float, height: float, sail: str, hull: str) -> None:
    """Draws a sailing boat at (x, y), with its reflection."""
    part = canvas.at(x, y, height, (-0.6, -1.1, 0.6, 0.5))
    u = part.x * part.side
    smudge = (1 - step(0, 0.45, part.y)) * (part.y > 0) * (1 - step(0.1, 0.4, u.abs() + part.rough * 0.15))
    part.glaze(mix(sail, "#24415c", 0.35), smudge * 0.6)
    main = polygon(u, part.y, ((-0.02, -1.0), (0.025, -1.0), (0.4, -0.22), (-0.02, -0.2)))
    light = mix(mix(sail, "#4a4a6a", 0.25), sail, step(-0.05, 0.3, u + part.rough * 0.04))
    part.fill(light, main)
    part.fill(mix(sail, "#6a5a70", 0.3), polygon(u, part.y, ((-0.06, -0.9), (-0.06, -0.2), (-0.36, -0.2))))
    part.fill("#4a3428", box(u, part.y, -0.054, -1.05, -0.026, -0.1), 0)
    body = polygon(u, part.y, ((-0.46, -0.16), (0.5, -0.17), (0.34, 0.03), (-0.34, 0.03)))
    part.fill(mix(mix(hull, "#101828", 0.5), hull, step(0.02, -0.14, part.y)), body)
