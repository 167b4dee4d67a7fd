"""Checkpoints: everything that changes in training, in safetensors and JSON, written atomically.

A checkpoint is a folder ``checkpoints/STEP`` with ``method.safetensors`` (all weights and buffers; also a model file),
``players.safetensors`` (optimizer states and moving averages) and ``state.json``. Learning rates, random numbers and the
position in the data are functions of the step and the seed, so only the step is stored for them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stylekit._files import atomic_folder, remove, write_atomic
from stylekit.errors import NotFinite, StylekitError
from stylekit.weights.tensors import fit, read_tensors, write_tensors


def pack(value: Any, tensors: dict[str, Tensor], path: str = "") -> Any:
    """Converts nested dicts and lists to a JSON value; adds their tensors to ``tensors``, by path."""
    if isinstance(value, Tensor):
        while path in tensors:  # keys such as 1 and "1" have the same path
            path += "'"
        tensors[path] = value
        return {"tensor": path}
    if isinstance(value, Mapping):
        return {"pairs": [[key, pack(item, tensors, f"{path}/{key}")] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        items = [pack(item, tensors, f"{path}/{index}") for index, item in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise StylekitError(
        f"An optimizer's state contains a {type(value).__name__} at {path!r}, which a checkpoint cannot store."
    )


def unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of :func:`pack`."""
    if isinstance(value, list):
        return [unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    (kind, content) = next(iter(value.items()))
    if kind == "tensor":
        return tensors[content]
    if kind == "tuple":
        return tuple(unpack(item, tensors) for item in content)
    return {key: unpack(item, tensors) for key, item in content}


def save_checkpoint(
    folder: Path, step: int, method: nn.Module, players: Mapping[str, Any], header: Mapping[str, str]
) -> Path:
    """Writes the checkpoint of a step and returns its folder.

    Args:
        folder: the run's ``checkpoints``
        step: number of completed steps
        method: the method
        players: the state of each player, as nested dicts and lists
        header: header of ``method.safetensors``

    Raises:
        StylekitError: no space is left, or the folder cannot be written; earlier checkpoints are untouched.
    """
    tensors: dict[str, Tensor] = {}
    state = {"step": step, "players": pack(players, tensors)}
    with atomic_folder(folder / str(step)) as temporary:
        write_tensors(temporary / "method.safetensors", method.state_dict(), header)
        write_tensors(temporary / "players.safetensors", tensors)
        write_atomic(temporary / "state.json", json.dumps(state))
    return folder / str(step)


def load_checkpoint(path: Path, method: nn.Module) -> tuple[int, dict[str, Any]]:
    """Restores a method from a checkpoint's folder; returns the number of completed steps and the players' state.

    Raises:
        StylekitError: a file is missing, truncated or damaged, or a tensor is missing or does not fit.
    """
    try:
        state = json.loads((path / "state.json").read_text())
        step, packed = int(state["step"]), state["players"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StylekitError(f"{path / 'state.json'} is missing or damaged ({error}). {_remedy(path)}") from None
    try:
        tensors, _ = read_tensors(path / "method.safetensors")
        extra, _ = read_tensors(path / "players.safetensors")
        fit(method, tensors, path / "method.safetensors")
        return step, unpack(packed, extra)
    except StylekitError as error:
        raise StylekitError(f"{error} {_remedy(path)}") from None
    except KeyError as error:
        raise StylekitError(f"{path / 'players.safetensors'} lacks the tensor {error}. {_remedy(path)}") from None


def _remedy(path: Path) -> str:
    return f"Remove {path} to resume from the previous checkpoint."


def saved_steps(folder: Path) -> list[int]:
    """The steps that have a checkpoint in a run's ``checkpoints``, in order."""
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit() and path.is_dir())


def prune(folder: Path, keep: int) -> None:
    """Removes all but the ``keep`` newest checkpoints."""
    for step in saved_steps(folder)[:-keep]:
        remove(folder / str(step))


def not_finite(method: nn.Module) -> list[str]:
    """The names of the weights and buffers that contain NaN or infinity."""
    return [
        name
        for name, tensor in method.state_dict().items()
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())
    ]


def require_finite(method: nn.Module, step: int, constants: Collection[str] = ()) -> None:
    """Checks that the weights and buffers are finite.

    Args:
        method: the method
        step: number of completed steps
        constants: names of tensors that were not finite before training either

    Raises:
        NotFinite: another tensor contains NaN or infinity; the first is named.
    """
    for name in not_finite(method):
        if name not in constants:
            raise NotFinite(f"After step {step} the tensor {name!r} contains NaN or infinity; it was not saved.")
