"""Image style transfer that keeps the content: train it, run it, extend it with plugins.

The names below are public and are imported when they are first used, so that ``import stylekit`` stays quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Adversary": "stylekit.training.adversary",
    "ImagePool": "stylekit.training.pool",
    "Method": "stylekit.method",
    "Part": "stylekit.registry.parts",
    "Player": "stylekit.method",
    "StylekitError": "stylekit.errors",
    "StylekitWarning": "stylekit.errors",
    "from_pretrained": "stylekit.inference.hub",
    "hookimpl": "stylekit.hookspecs",
    "load": "stylekit.inference.loading",
    "make": "stylekit.registry.parts",
    "save_pretrained": "stylekit.inference.hub",
    "train": "stylekit.training.engine",
    "turn": "stylekit.method",
    "warn": "stylekit.errors",
}

__all__ = [
    "Adversary",
    "ImagePool",
    "Method",
    "Part",
    "Player",
    "StylekitError",
    "StylekitWarning",
    "from_pretrained",
    "hookimpl",
    "load",
    "make",
    "save_pretrained",
    "train",
    "turn",
    "warn",
]

if TYPE_CHECKING:
    from stylekit.errors import StylekitError, StylekitWarning, warn
    from stylekit.hookspecs import hookimpl
    from stylekit.inference.hub import from_pretrained, save_pretrained
    from stylekit.inference.loading import load
    from stylekit.method import Method, Player, turn
    from stylekit.registry.parts import Part, make
    from stylekit.training.adversary import Adversary
    from stylekit.training.engine import train
    from stylekit.training.pool import ImagePool


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'stylekit' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
