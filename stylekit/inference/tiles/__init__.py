"""Stylises images of any size in tiles, which share what networks compute of the whole image."""

from stylekit.inference.tiles.pieces import Box
from stylekit.inference.tiles.regions import Regions
from stylekit.inference.tiles.statistics import Core, SharedStatistics
from stylekit.inference.tiles.tiling import Sharing, Tiles, Tiling

__all__ = ["Box", "Core", "Regions", "SharedStatistics", "Sharing", "Tiles", "Tiling"]
