"""Prepares a trained model for release: its weights in half precision.

python examples/half_precision.py RUN FILE
"""

from __future__ import annotations

import sys
from pathlib import Path

import safetensors
import safetensors.torch


def pack(run: Path, out: Path) -> None:
    """Writes the run's ``model.safetensors`` to ``out``, with floating-point tensors as float16."""
    with safetensors.safe_open(run / "model.safetensors", framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    halved = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    out.write_bytes(safetensors.torch.save(halved, metadata))
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    pack(*map(Path, sys.argv[1:]))
