"""stylekit-restore-colorize, -denoise, -x2 and -x4: the restorers that ship.

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

NAMES = ("stylekit-restore-colorize", "stylekit-restore-denoise", "stylekit-restore-x2", "stylekit-restore-x4")


@hookimpl
def stylekit_models() -> dict[str, Callable[..., Model]]:
    folder = Path(__file__).parent
    return {name: ModelFile(folder / f"{name}.safetensors") for name in NAMES}
