"""Reads and writes tensors in safetensors files, and loads them into modules."""

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
    """Writes tensors to a safetensors file, atomically.

    Raises:
        StylekitError: the disk is full, or the file cannot be written.
    """
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # safetensors rejects tensors that share storage, which are allowed here.
    separate = {name: tensor.clone() if _shared(name, contiguous) else tensor for name, tensor in contiguous.items()}
    # With no tensors and an empty header, safetensors writes a file that it cannot read.
    write_atomic(path, safetensors.torch.save(separate, dict(header) if header else None))


def _shared(name: str, tensors: Mapping[str, Tensor]) -> bool:
    """Whether a tensor's storage is larger than the tensor, or used by another one."""
    storage = tensors[name].untyped_storage()
    return storage.nbytes() != tensors[name].nbytes or any(
        other != name and tensor.numel() and tensor.untyped_storage().data_ptr() == storage.data_ptr()
        for other, tensor in tensors.items()
    )


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors in a safetensors file, on the CPU, and its header.

    Raises:
        StylekitError: the file is missing, damaged, or not a safetensors file.
    """
    if not path.is_file():
        raise StylekitError(f"There is no file {path}.")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise StylekitError(f"{path} is truncated, damaged or not a safetensors file ({error}).") from None


def fit(module: nn.Module, tensors: Mapping[str, Tensor], path: Path, absent: Collection[str] = ()) -> None:
    """Loads tensors into a module.

    Args:
        module: the module
        tensors: tensors by name
        path: the file that they were read from, for messages
        absent: names of submodules or parameters that the file must not contain; their values stay unchanged

    Raises:
        StylekitError: a tensor is missing, unknown, or of another shape. The message names the first one.
    """
    expected = {name: tensor for name, tensor in module.state_dict().items() if name.split(".")[0] not in absent}
    for name, tensor in expected.items():
        if name not in tensors:
            raise StylekitError(f"{path} lacks the tensor {name!r}: it was written by another method, or is damaged.")
        any_shape = is_lazy(tensor) or tensor.numel() == 0
        if not any_shape and tensors[name].shape != tensor.shape:
            raise StylekitError(
                f"The tensor {name!r} in {path} has the shape {tuple(tensors[name].shape)}, but with its current options the "
                f"method needs {tuple(tensor.shape)}."
            )
    for name in tensors:
        if name not in expected:
            raise StylekitError(
                f"{path} contains the tensor {name!r}, which the method does not have with its current options."
            )
    module.load_state_dict(dict(tensors), strict=False)
