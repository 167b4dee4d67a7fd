"""Reads safetensors files, as arrays or as tensors. Does not import torch for arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import safetensors

from stylekit._files import is_file
from stylekit.errors import StylekitError

LONGEST_HEADER = 10_000_000
"""Maximum bytes of a header: 100,000 tensors, which take a second to list."""
LARGEST = 1e15
"""Maximum absolute value of a weight or statistic. Usual ones are far below it, and its square is still finite."""


def read_safetensors(path: Path, framework: Literal["pt", "np"]) -> tuple[dict[str, Any], dict[str, str]]:
    """The tensors or arrays in a safetensors file, and its header.

    Raises:
        StylekitError: the file is missing, damaged, or not a safetensors file.
    """
    if not is_file(path):
        raise StylekitError(f"There is no file {path}.")
    try:
        with path.open("rb") as start:
            size = int.from_bytes(start.read(8), "little")
        if LONGEST_HEADER < size < path.stat().st_size:
            raise StylekitError(
                f"{path} is damaged: its header has {size:,} bytes, but at most {LONGEST_HEADER:,} are read."
            )
        with safetensors.safe_open(path, framework=framework) as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (RuntimeError, MemoryError):  # the file cannot be mapped
        raise StylekitError(f"{path} is too large for the memory of this machine.") from None
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise StylekitError(f"{path} is truncated, damaged or not a safetensors file ({error}).") from None
