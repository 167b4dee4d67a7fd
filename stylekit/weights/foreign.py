"""Reads weights of other programs: recognises their network, and converts the names of their tensors."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylekit.errors import StylekitError
from stylekit.registry import lookup
from stylekit.weights import pretrained

if TYPE_CHECKING:
    from torch import Tensor, nn

    State = Mapping[str, Tensor]


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Reads the tensors of a ``.pth`` or ``.safetensors`` file. No code in the file is run.

    Raises:
        StylekitError: the file is missing or damaged, or contains anything other than tensors by name.
    """
    import torch

    if not path.is_file():
        raise StylekitError(f"There is no file {path}.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about the pickle protocol, which the user cannot change
                state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types, and its messages suggest running the code in the file
        raise StylekitError(f"{path} cannot be read: {_reason(path)}.") from error
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items()
    ):
        raise StylekitError(f"{path} does not contain only tensors by name. Save only the network's state_dict().")
    return clean_state_dict(state)


def load_weights(module: nn.Module, path: Path) -> None:
    """Loads the tensors of a module from a file. Other tensors in the file, such as those of a classifier, are ignored.

    A file with the name of published weights (see :mod:`stylekit.weights.pretrained`) must have the published content.

    Raises:
        StylekitError: the file is missing or damaged, differs from the published one, lacks a tensor, or has one of
            another shape.
    """
    if path.is_file():
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
    if path.suffix == ".safetensors" or (head == b"PK" and not zipfile.is_zipfile(path)):
        return "it is truncated or damaged"
    if zipfile.is_zipfile(path):
        return "it is damaged, or contains objects or code, which was not run. Save only the network's state_dict()"
    return "it is not a file of weights, or contains code, which was not run"


def clean_state_dict(state: State) -> dict[str, Tensor]:
    """Removes the prefix of ``DataParallel``, and the buffers that old instance norms saved but never used."""
    state = {key.removeprefix("module."): value for key, value in state.items()}
    buffers = ("running_mean", "running_var", "num_batches_tracked")

    def unused(key: str) -> bool:
        layer, _, leaf = key.rpartition(".")
        return leaf in buffers and f"{layer}.weight" not in state

    return {key: value for key, value in state.items() if not unused(key)}


def recognise(kind: str, state: State, source: str) -> dict[str, Any]:
    """The registered network that the weights belong to, with its options: ``{"name": "resnet", "blocks": 6, ...}``.

    To be recognised, a network defines a static method ``recognise(state)`` that returns its options, or None.

    Raises:
        StylekitError: no registered network recognises the weights.
    """
    for name in lookup.part_names(kind):
        recogniser = getattr(lookup.find_part(kind, name), "recognise", None)
        options = recogniser(state) if recogniser else None
        if options is not None:
            return {"name": name, **options}
    raise StylekitError(f"{source} contains weights of a {kind} that no installed plugin recognises.")


def read_generators(files: Mapping[str, State], roles: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Reads generators of the same architecture: their specification, and their states, prefixed by submodule.

    Args:
        files: the state in each file, by file name
        roles: the submodule for each mark in a file name; a single file without a mark is assigned to the first

    Raises:
        StylekitError: two files are for the same submodule, their architectures differ, or a file name has no mark.
    """
    sources: dict[str, str] = {}
    states: dict[str, Tensor] = {}
    first: dict[str, Any] = {}
    for file, state in files.items():
        marks = [mark for mark in roles if mark in Path(file).stem] or ([next(iter(roles))] if len(files) == 1 else [])
        if len(marks) != 1 or roles[marks[0]] in sources:
            raise StylekitError(f"{file}: rename the files, so that each name contains one of {', '.join(roles)}.")
        spec = recognise("generator", state, file)
        if sources and spec != first:
            other = next(iter(sources.values()))
            raise StylekitError(
                f"{other} and {file} have different architectures: {first} and {spec}. Import them separately."
            )
        first, sources[roles[marks[0]]] = spec, file
        states |= {f"{roles[marks[0]]}.{key}": value for key, value in state.items()}
    return first, states
