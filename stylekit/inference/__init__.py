"""Stylising with a finished model: model files, styles, controls, memory."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stylekit.inference.model import Model
    from stylekit.inference.styles import Style, read_style, write_style

__all__ = ["Model", "Style", "read_style", "write_style"]


def __getattr__(name: str) -> Any:
    """Imports what is used: torch is slow to import, and exported models need none."""
    if name not in __all__:
        raise AttributeError(f"module 'stylekit.inference' has no attribute {name!r}")
    from stylekit.inference import model, styles

    return getattr(model if name == "Model" else styles, name)
