"""The kinds of scene: each composes a picture on a canvas from the canvas's own random numbers."""

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
"""Every kind of scene by name."""
