"""Reads the weights that other programs saved, without trusting them."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from stylekit._files import is_file
from stylekit.errors import StylekitError
from stylekit.weights import pretrained
from stylekit.weights.restoring import is_restoring

if TYPE_CHECKING:
    from torch import Tensor, nn

    State = Mapping[str, Tensor]

ROOM = 2**30
"""Bytes by which tensors may be larger than their file, as several of them may share memory."""
_PREFIXES = re.compile(r"^(module\.|_orig_mod\.)+")


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Reads the tensors of a ``.pth`` or ``.safetensors`` file. No code in the file is run.

    Raises:
        StylekitError: the file is missing or damaged, or contains anything other than tensors by name.
    """
    import torch

    from stylekit.weights.tensors import read_tensors

    if not is_file(path):
        raise StylekitError(f"There is no file {path}.")
    if path.suffix == ".safetensors":
        return clean_state_dict(read_tensors(path)[0])
    try:
        _require_stored(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle protocol, which the user cannot change
            content = torch.load(path, map_location="cpu", weights_only=True)
    except StylekitError:
        raise
    except Exception as error:  # torch raises many types, and its messages suggest running the code in the file
        raise StylekitError(f"{path} cannot be read: {_reason(path)}.") from error
    state = _only_state(content, path)
    for name, tensor in state.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested or tensor.is_meta:
            raise StylekitError(
                f"The tensor {name!r} in {path} is sparse, quantised or without values. Convert it first."
            )
    if sum(tensor.nbytes for tensor in state.values()) > path.stat().st_size + ROOM:
        raise StylekitError(f"{path} is damaged: its tensors are much larger than the file.")
    return clean_state_dict(state)


def _require_stored(path: Path) -> None:
    """Checks that a zip file does not become larger when it is unpacked; torch stores tensors uncompressed."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
                raise StylekitError(f"{path} is damaged: its contents are larger than the file.")


def _only_state(content: object, path: Path) -> State:
    """The tensors by name that a file contains, perhaps in a dict with other things, as training programs save them."""
    if isinstance(content, Mapping) and (not content or _is_state(content)):
        return content
    states = [each for each in content.values() if _is_state(each)] if isinstance(content, Mapping) else []
    if len(states) > 1 and isinstance(content, Mapping) and _is_state(averaged := content.get("params_ema")):
        return averaged  # BasicSR saves a network twice: as it is, and the average that is to be used
    if len(states) != 1:
        several = f"the tensors of {len(states)} networks" if states else "no tensors by name"
        raise StylekitError(f"{path} contains {several}. Save only the network's state_dict().")
    return states[0]


def _is_state(value: object) -> TypeGuard[State]:
    import torch

    if not isinstance(value, Mapping) or not value:
        return False
    return all(isinstance(key, str) and isinstance(each, torch.Tensor) for key, each in value.items())


def load_weights(module: nn.Module, path: Path) -> None:
    """Loads the tensors of a module from a file. Other tensors in the file, such as those of a classifier, are ignored.

    While a model file is read, nothing is loaded: the weights are in it, and its header must not have other files opened.

    A file with the name of published weights (see :mod:`stylekit.weights.pretrained`) must have the published content.

    Raises:
        StylekitError: the file is missing or damaged, differs from the published one, lacks a tensor, or has one of
            another shape.
    """
    if is_restoring():
        return
    if is_file(path):
        pretrained.verify(path)
    state = read_state_dict(path)
    for name, tensor in module.state_dict().items():
        if name not in state:
            raise StylekitError(f"{path} has no tensor {name!r}, so its weights are those of another network.")
        if state[name].shape != tensor.shape:
            raise StylekitError(
                f"The tensor {name!r} in {path} has the shape {tuple(state[name].shape)}, but must have "
                f"{tuple(tensor.shape)}, so its weights are those of another network."
            )
    module.load_state_dict({name: state[name] for name in module.state_dict()})


def _reason(path: Path) -> str:
    """Why a file cannot be read as weights."""
    with path.open("rb") as file:
        head = file.read(2)
    if head == b"PK" and not zipfile.is_zipfile(path):
        return "it is truncated or damaged"
    if zipfile.is_zipfile(path):
        return "it is damaged, or contains objects or code, which was not run. Save only the network's state_dict()"
    return "it is not a file of weights, or contains code, which was not run"


def clean_state_dict(state: State) -> dict[str, Tensor]:
    """Removes the prefixes of ``DataParallel`` and ``torch.compile``, and the buffers that old instance norms saved but never
    used. Names stay as they are if two would become equal."""
    stripped = {_PREFIXES.sub("", key).replace("._orig_mod.", "."): value for key, value in state.items()}
    state = stripped if len(stripped) == len(state) else dict(state)
    buffers = ("running_mean", "running_var", "num_batches_tracked")

    def unused(key: str) -> bool:
        layer, _, leaf = key.rpartition(".")
        return leaf in buffers and f"{layer}.weight" not in state

    return {key: value for key, value in state.items() if not unused(key)}
