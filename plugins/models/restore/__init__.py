"""stylekit-restore-colorize, -denoise, -jpeg, -x2 and -x4: the restorers that ship.

They are models of the methods ``colorize`` and ``restore``, trained by ``examples/restore/train.sh``. Their model card is in
``docs/weights.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from stylekit import hookimpl
from stylekit.inference.model_file import ModelFile

if TYPE_CHECKING:
    from stylekit.inference import Model

NAMES = tuple(f"stylekit-restore-{task}" for task in ("colorize", "denoise", "jpeg", "x2", "x4"))


@hookimpl
def stylekit_models() -> dict[str, Callable[..., Model]]:
    folder = Path(__file__).parent
    return {name: ModelFile(folder / f"{name}.safetensors") for name in NAMES}
