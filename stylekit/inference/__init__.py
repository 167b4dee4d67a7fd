"""Stylising with a finished model: model files, styles, controls, memory."""

from stylekit.inference.model import Model
from stylekit.inference.styles import Style, read_style, write_style

__all__ = ["Model", "Style", "read_style", "write_style"]
