"""stylekit-any: the model that ships, for any style.

It is a model of the method ``any-style``, trained by ``examples/any/train.sh``. Its model card is ``docs/weights.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from stylekit import hookimpl, load
from stylekit.inference import Model

FILE = Path(__file__).parent / "stylekit-any.safetensors"


@hookimpl
def stylekit_models() -> dict[str, Callable[..., Model]]:
    return {"stylekit-any": partial(load, FILE)}
