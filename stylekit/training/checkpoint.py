"""Checkpoints: everything that changes in training, in safetensors and JSON, written atomically.

A checkpoint is a folder ``checkpoints/STEP`` with ``method.safetensors`` (all weights and buffers; also a model file),
``players.safetensors`` (optimizer states and moving averages) and ``state.json``. Learning rates, random numbers and the
position in the data are functions of the step and the seed, so only the step is stored for them.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pydantic
import torch
from pydantic import Field
from torch import Tensor, nn

from stylekit._files import atomic_folder, explain_os_errors, read_json, remove, write_atomic
from stylekit.errors import NotFinite, StylekitError
from stylekit.training.run_json import first_problem
from stylekit.weights.tensors import fit, read_tensors, write_tensors

FILES = {"method.safetensors", "players.safetensors", "state.json"}
"""The files of a checkpoint."""


class _State(pydantic.BaseModel):
    """The content of ``state.json``: the digest is that of the players, so that damage is noticed before they are used."""

    step: int = Field(ge=0)
    run: str
    digest: str
    players: Any


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
    folder: Path, step: int, method: nn.Module, players: Mapping[str, Any], header: Mapping[str, str], run: str = ""
) -> Path:
    """Writes the checkpoint of a step and returns its folder.

    Args:
        folder: the run's ``checkpoints``
        step: number of completed steps
        method: the method
        players: the state of each player, as nested dicts and lists
        header: header of ``method.safetensors``
        run: id of the run

    Raises:
        StylekitError: no space is left, the folder cannot be written, or something that this run did not write has
            its name; earlier checkpoints are untouched.
    """
    tensors: dict[str, Tensor] = {}
    path, packed = folder / str(step), pack(players, tensors)
    if path.exists() and not _may_remove(path, run):
        raise StylekitError(
            f"{path} was not written by this run, but its next checkpoint needs that name. Move it elsewhere."
        )
    state = _State(step=step, run=run, digest=_digest(packed), players=packed)
    with atomic_folder(path) as temporary:
        write_tensors(temporary / "method.safetensors", method.state_dict(), header)
        write_tensors(temporary / "players.safetensors", tensors)
        write_atomic(temporary / "state.json", json.dumps(dict(state)))
    return path


def _digest(players: Any) -> str:
    return hashlib.blake2b(json.dumps(players).encode(), digest_size=16).hexdigest()


def _read_state(path: Path) -> _State:
    """The state of a checkpoint, whose players may still be damaged.

    Raises:
        StylekitError: ``state.json`` is missing or damaged.
    """
    try:
        state = _State.model_validate(read_json(path / "state.json"))
    except StylekitError as error:
        raise StylekitError(f"{error} {_remedy(path)}") from None
    except pydantic.ValidationError as error:
        raise StylekitError(f"{path / 'state.json'} is damaged ({first_problem(error)}). {_remedy(path)}") from None
    if str(state.step) != path.name:
        raise StylekitError(f"{path / 'state.json'} is damaged: it is of step {state.step}. {_remedy(path)}")
    return state


def load_checkpoint(path: Path, method: nn.Module) -> tuple[int, dict[str, Any]]:
    """Restores a method from a checkpoint's folder; returns the number of completed steps and the players' state.

    Raises:
        StylekitError: a file is missing, truncated or damaged, or a tensor is missing or does not fit.
    """
    state = _read_state(path)
    try:
        if _digest(state.players) != state.digest:
            raise StylekitError(f"{path / 'state.json'} is damaged: the players do not match their digest.")
        tensors, _ = read_tensors(path / "method.safetensors")
        extra, _ = read_tensors(path / "players.safetensors")
        fit(method, tensors, path / "method.safetensors")
        players: dict[str, Any] = dict(unpack(state.players, extra))
        return state.step, players
    except StylekitError as error:
        raise StylekitError(f"{error} {_remedy(path)}") from None
    except KeyError as error:
        raise StylekitError(f"{path / 'players.safetensors'} lacks the tensor {error}. {_remedy(path)}") from None
    except (ValueError, TypeError, StopIteration, RecursionError):
        raise StylekitError(f"{path / 'state.json'} is damaged. {_remedy(path)}") from None


def _remedy(path: Path) -> str:
    return f"Remove {path} to resume from the previous checkpoint."


def saved_steps(folder: Path) -> list[int]:
    """The steps that have a folder in a run's ``checkpoints``, in order."""
    with explain_os_errors(folder, "read"):
        if not os.path.lexists(folder):
            return []
        if not folder.is_dir():
            raise StylekitError(f"{folder} is not a folder. Remove it to start the run again.")
        return sorted(int(path.name) for path in folder.iterdir() if _is_step(path.name) and path.is_dir())


def _is_step(name: str) -> bool:
    return name.isascii() and name.isdecimal() and name == str(int(name))


def latest(folder: Path, run: str, until: float = math.inf) -> Path | None:
    """The newest checkpoint of a run up to a step; folders of other runs, and those without ``state.json``, do not count.

    Raises:
        StylekitError: a newer one is damaged.
    """
    for step in reversed([step for step in saved_steps(folder) if step <= until]):
        path = folder / str(step)
        if os.path.lexists(path / "state.json") and _read_state(path).run == run:
            return path
    return None


def prune(folder: Path, keep: int, run: str = "", since: float = math.inf) -> None:
    """Removes old checkpoints of a run. Folders that contain anything else are left alone.

    Args:
        folder: the run's ``checkpoints``
        keep: number of checkpoints to keep, the newest ones
        run: id of the run
        since: a step from which on all are kept, the newest before it, and the checkpoint of step 0
    """
    own = [step for step in saved_steps(folder) if _may_remove(folder / str(step), run)]
    kept = set(own[-keep:])
    if since < math.inf:
        anchor = max((step for step in own if step <= since), default=-1)
        kept |= {0, *(step for step in own if step >= anchor)}
    for step in own:
        if step not in kept:
            remove(folder / str(step))


def remove_after(folder: Path, step: int, run: str) -> None:
    """Removes the checkpoints of a run after a step."""
    for later in saved_steps(folder):
        if later > step and _may_remove(folder / str(later), run):
            remove(folder / str(later))


def _may_remove(path: Path, run: str) -> bool:
    """Whether a folder is a checkpoint of the run, and contains only what stylekit wrote."""
    try:
        return (
            not path.is_symlink() and {file.name for file in path.iterdir()} == FILES and _read_state(path).run == run
        )
    except (StylekitError, OSError):
        return False


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
