"""Reading weights that other programs wrote: which network they belong to, and under which names they go on here."""

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
        StylekitError: the file is missing, damaged, or holds more than tensors by name.
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
                warnings.simplefilter("ignore")  # about the pickle protocol, which the user cannot mend
                state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch reports damage in many ways, and its messages advise to run the code
        raise StylekitError(f"{path} was not read: {_fault(path)}.") from error
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items()
    ):
        raise StylekitError(f"{path} holds more than tensors by name. Save the network's state_dict() alone.")
    return clean_state_dict(state)


def load_weights(module: nn.Module, path: Path) -> None:
    """Loads into a module the tensors of its own in a file; others in it, such as a classifier, are passed over.

    A file of a name that :mod:`stylekit.weights.pretrained` knows must have the content that was published under it.

    Raises:
        StylekitError: the file is missing or damaged, is not what was published, lacks a tensor, or has it in another
            shape.
    """
    if path.is_file():
        pretrained.verify(path)
    state = read_state_dict(path)
    for name, tensor in module.state_dict().items():
        if name not in state:
            raise StylekitError(f"{path} has no tensor {name!r}, so it holds the weights of another network.")
        if state[name].shape != tensor.shape:
            raise StylekitError(
                f"The tensor {name!r} in {path} is {tuple(state[name].shape)}, and must be {tuple(tensor.shape)}: it holds "
                "the weights of another network."
            )
    module.load_state_dict({name: state[name] for name in module.state_dict()})


def _fault(path: Path) -> str:
    """Why a file is none of weights."""
    with path.open("rb") as file:
        head = file.read(2)
    if path.suffix == ".safetensors" or (head == b"PK" and not zipfile.is_zipfile(path)):
        return "it is truncated or damaged"
    if zipfile.is_zipfile(path):
        return "it is damaged, or holds objects or code, which was not run. Save the network's state_dict() alone"
    return "it is no file of weights, or holds code, which was not run"


def clean_state_dict(state: State) -> dict[str, Tensor]:
    """Drops the prefix of ``DataParallel`` and the buffers that old instance norms kept and never used."""
    state = {key.removeprefix("module."): value for key, value in state.items()}
    kept = ("running_mean", "running_var", "num_batches_tracked")

    def stale(key: str) -> bool:
        layer, _, leaf = key.rpartition(".")
        return leaf in kept and f"{layer}.weight" not in state

    return {key: value for key, value in state.items() if not stale(key)}


def recognise(kind: str, state: State, source: str) -> dict[str, Any]:
    """The registered network that the weights belong to, with its options: ``{"name": "resnet", "blocks": 6, ...}``.

    A network takes part by a static method ``recognise(state) -> options or None``.

    Raises:
        StylekitError: no network recognises them.
    """
    for name in lookup.part_names(kind):
        reader = getattr(lookup.find_part(kind, name), "recognise", None)
        options = reader(state) if reader else None
        if options is not None:
            return {"name": name, **options}
    raise StylekitError(f"{source} holds weights of a {kind} that no installed plugin recognises.")


def read_generators(files: Mapping[str, State], roles: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Reads generators of one architecture: their common specification, and their state below the submodules' names.

    Args:
        files: the state in each file, by its name
        roles: which submodule a file is for, by a part of its name; a single file without any goes to the first

    Raises:
        StylekitError: two files for one submodule, or of different architectures, or a name that says nothing.
    """
    sources: dict[str, str] = {}
    states: dict[str, Tensor] = {}
    first: dict[str, Any] = {}
    for file, state in files.items():
        marks = [mark for mark in roles if mark in Path(file).stem] or ([next(iter(roles))] if len(files) == 1 else [])
        if len(marks) != 1 or roles[marks[0]] in sources:
            raise StylekitError(f"{file}: name each file by what it is for, one with each of {', '.join(roles)}.")
        spec = recognise("generator", state, file)
        if sources and spec != first:
            other = next(iter(sources.values()))
            raise StylekitError(f"{other} and {file} differ: {first} and {spec}. Import them one by one.")
        first, sources[roles[marks[0]]] = spec, file
        states |= {f"{roles[marks[0]]}.{key}": value for key, value in state.items()}
    return first, states
