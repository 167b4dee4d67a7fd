"""stylekit-small: the model that ships, ready for any style.

A network of the method ``descent``, trained on drawn pictures alone by ``examples/small/train.sh``; ``docs/weights.md`` is
its model card.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from stylekit import hookimpl, load
from stylekit.inference import Model

FILE = Path(__file__).parent / "stylekit-small.safetensors"


@hookimpl
def stylekit_models() -> dict[str, Callable[..., Model]]:
    return {"stylekit-small": partial(load, FILE)}
