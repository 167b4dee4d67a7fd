"""Reads and writes tensors in safetensors files, and loads them into modules."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from stylekit._files import write_atomic
from stylekit.errors import StylekitError
from stylekit.weights.containers import LARGEST, read_safetensors


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str] | None = None) -> None:
    """Writes tensors to a safetensors file, atomically.

    Raises:
        StylekitError: the disk is full, or the file cannot be written.
    """
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # safetensors rejects tensors that share storage, which are allowed here.
    separate = {name: tensor.clone() if _shared(name, contiguous) else tensor for name, tensor in contiguous.items()}
    # With no tensors and an empty header, safetensors writes a file that it cannot read.
    write_atomic(path, _sorted_header(safetensors.torch.save(separate, dict(header) if header else None)))


def update_digest(digest: hashlib._Hash, tensors: Mapping[str, Tensor]) -> None:
    """Adds the names, shapes and float32 values of tensors to a digest, in the order of the names."""
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())


def _sorted_header(data: bytes) -> bytes:
    """Sorts the texts of a header, which safetensors writes in random order, so that equal runs write equal files."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    if "__metadata__" not in header:
        return data
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors start at a multiple of 8
    return b"".join([len(text).to_bytes(8, "little"), text, memoryview(data)[end:]])


def _shared(name: str, tensors: Mapping[str, Tensor]) -> bool:
    """Whether a tensor's storage is larger than the tensor, or used by another one."""
    storage = tensors[name].untyped_storage()
    return storage.nbytes() != tensors[name].nbytes or any(
        other != name and tensor.numel() and tensor.untyped_storage().data_ptr() == storage.data_ptr()
        for other, tensor in tensors.items()
    )


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors in a safetensors file, on the CPU, and its header. The file is mapped into memory: a tensor is read only
    where it is used.

    Raises:
        StylekitError: the file is missing, damaged, or not a safetensors file.
    """
    return read_safetensors(path, "pt")


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def fit(module: nn.Module, tensors: Mapping[str, Tensor], path: Path, absent: Collection[str] = ()) -> None:
    """Loads tensors into a module.

    Args:
        module: the module
        tensors: tensors by name
        path: the file that they were read from, for messages
        absent: names of submodules or parameters that the file must not contain; their values stay unchanged

    Raises:
        StylekitError: a tensor is missing, unknown, or of another type or shape. The message names the first one.
    """
    require_fit(module, tensors, path, absent)
    module.load_state_dict(dict(tensors), strict=False)


def fit_sound(module: nn.Module, tensors: Mapping[str, Tensor], path: Path, absent: Collection[str] = ()) -> None:
    """Loads tensors into a newly built module as :func:`fit` does, if their values are sound as well.

    Raises:
        StylekitError: as in :func:`fit` and :func:`require_sound`.
    """
    require_fit(module, tensors, path, absent)
    require_sound(module, tensors, path)
    module.load_state_dict(dict(tensors), strict=False)


def require_fit(module: nn.Module, tensors: Mapping[str, Tensor], path: Path, absent: Collection[str] = ()) -> None:
    """Checks the names, types and shapes of tensors as :func:`fit` does, without reading them. The module may be on the meta
    device.

    Raises:
        StylekitError: a tensor is missing, unknown, or of another type or shape. The message names the first one.
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
        if tensor.is_floating_point() and not tensors[name].is_floating_point():
            raise StylekitError(
                f"{path} is damaged: its tensor {name!r} has the type {_type(tensors[name])}, but must have {_type(tensor)}."
            )
    for name in tensors:
        if name not in expected:
            raise StylekitError(
                f"{path} contains the tensor {name!r}, which the method does not have with its current options."
            )


def require_sound(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Checks the values of tensors that are about to be loaded into a newly built module.

    A tensor may contain values that are not finite or above 1e15 only if that of the new module does too, such as a mask of
    negative infinity. The weights of a submodule may be all zero only if those of the new one are.

    Raises:
        StylekitError: a tensor is damaged. The message names the first one.
    """
    zero: dict[str, list[str]] = {}
    state = {name: tensor for name, tensor in module.state_dict().items() if name in tensors and _has_values(tensor)}
    for name, new in state.items():
        largest = _largest(tensors[name].to(new.dtype))
        if not largest <= LARGEST and _largest(new) <= LARGEST:  # also true for NaN
            value = "NaN" if math.isnan(largest) else "infinity" if math.isinf(largest) else f"a value of {largest:.0e}"
            raise StylekitError(f"{path} is damaged: its tensor {name!r} contains {value}.")
        if new.ndim > 1 and bool(new.any()):
            zero.setdefault(name.split(".")[0], []).append("" if largest else name)
    for part, names in zero.items():
        if all(names):
            raise StylekitError(
                f"{path} is damaged: its tensor {names[0]!r} and all other weights of {part!r} are zero."
            )


def _has_values(tensor: Tensor) -> bool:
    return not is_lazy(tensor) and tensor.numel() > 0 and tensor.is_floating_point()


def _largest(tensor: Tensor) -> float:
    """The largest absolute value; NaN if there is one."""
    low, high = torch.aminmax(tensor.detach().float() if tensor.dtype != torch.float64 else tensor.detach())
    return max(-float(low), float(high)) if low == low else math.nan
