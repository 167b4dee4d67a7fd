"""Tensors by name in safetensors files, and whether they fit a module."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from stylekit._files import write_atomic
from stylekit.errors import StylekitError


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str] | None = None) -> None:
    """Writes a safetensors file, whole or not at all.

    Raises:
        StylekitError: no space is left, or the file cannot be written.
    """
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # Tensors that share storage are legal here, and safetensors wants each on its own.
    owned = {name: tensor.clone() if _shared(name, contiguous) else tensor for name, tensor in contiguous.items()}
    # An empty header beside no tensors makes a file that safetensors itself cannot read.
    write_atomic(path, safetensors.torch.save(owned, dict(header) if header else None))


def _shared(name: str, tensors: Mapping[str, Tensor]) -> bool:
    mine = tensors[name].untyped_storage()
    return mine.nbytes() != tensors[name].nbytes or any(
        other != name and tensor.numel() and tensor.untyped_storage().data_ptr() == mine.data_ptr()
        for other, tensor in tensors.items()
    )


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors in a safetensors file, on the CPU, and its header.

    Raises:
        StylekitError: there is no such file, or it is damaged or of another kind.
    """
    if not path.is_file():
        raise StylekitError(f"There is no file {path}.")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise StylekitError(f"{path} is truncated, damaged or no safetensors file ({error}).") from None


def fit(module: nn.Module, tensors: Mapping[str, Tensor], path: Path, absent: Collection[str] = ()) -> None:
    """Loads tensors into a module; those below the names in ``absent`` may be missing.

    Raises:
        StylekitError: a tensor is missing, unknown, or of another shape; the first is named.
    """
    wanted = {name: tensor for name, tensor in module.state_dict().items() if name.split(".")[0] not in absent}
    for name, tensor in wanted.items():
        if name not in tensors:
            raise StylekitError(f"{path} lacks the tensor {name!r}: it was written by another method, or is damaged.")
        free = is_lazy(tensor) or tensor.numel() == 0
        if not free and tensors[name].shape != tensor.shape:
            raise StylekitError(
                f"The tensor {name!r} in {path} is {tuple(tensors[name].shape)}, "
                f"and the method as it is set up needs {tuple(tensor.shape)}."
            )
    for name in tensors:
        if name not in wanted:
            raise StylekitError(f"{path} holds the tensor {name!r}, which the method as it is set up does not have.")
    module.load_state_dict(dict(tensors), strict=False)
