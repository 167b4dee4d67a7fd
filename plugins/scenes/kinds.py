"""The kinds of scene: each composes a picture on a canvas from the canvas's own random numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stylekit_plugins.scenes.canvas import Canvas
from stylekit_plugins.scenes.country import hills, poppies, village
from stylekit_plugins.scenes.table import table
from stylekit_plugins.scenes.waterside import harbour, lake, seaside
from stylekit_plugins.scenes.woods import forest

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
