"""The kinds of scenes: functions that draw a scene on a canvas, with the canvas's random numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stylekit_plugins.datasets.scenes.canvas import Canvas
from stylekit_plugins.datasets.scenes.country import hills, poppies, village
from stylekit_plugins.datasets.scenes.table import table
from stylekit_plugins.datasets.scenes.waterside import harbour, lake, seaside
from stylekit_plugins.datasets.scenes.woods import forest

KINDS: Mapping[str, Callable[[Canvas], None]] = {
    "forest": forest,
    "harbour": harbour,
    "hills": hills,
    "lake": lake,
    "poppies": poppies,
    "seaside": seaside,
    "table": table,
    "village": village,
}
"""All kinds of scenes by name."""


def draw(canvas: Canvas) -> None:
    """Draws a scene of a random kind."""
    KINDS[canvas.rng.choice(list(KINDS))](canvas)
