"""stylekit-small: the bundled model, for any style.

It is a model of the method ``descent``, trained only on generated images by ``examples/small/train.sh``. Its model card is
``docs/weights.md``.
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
