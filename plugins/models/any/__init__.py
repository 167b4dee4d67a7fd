"""stylekit-any: the model that ships, for any style.

It is a model of the method ``any-style``, trained by ``examples/any/train.sh``. Its model card is ``docs/weights.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from stylekit import hookimpl
from stylekit.inference.model_file import ModelFile

if TYPE_CHECKING:
    from stylekit.inference import Model

FILE = Path(__file__).parent / "stylekit-any.safetensors"


@hookimpl
def stylekit_models() -> dict[str, Callable[..., Model]]:
    return {"stylekit-any": ModelFile(FILE)}
