"""Recognises the network that weights of another program belong to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylekit.errors import StylekitError
from stylekit.registry import lookup

if TYPE_CHECKING:
    from torch import Tensor

    State = Mapping[str, Tensor]


def recognise(kind: str, state: State, source: str) -> dict[str, Any]:
    """The registered network that the weights belong to, with its options: ``{"name": "resnet", "blocks": 6, ...}``.

    To be recognised, a network defines a static method ``recognise(state)`` that returns its options, or None. If its layers
    have other names than in the files, a static method ``translate(state)`` returns the weights under its own names.

    Raises:
        StylekitError: no registered network recognises the weights.
    """
    for name in lookup.part_names(kind):
        recogniser = getattr(lookup.find_part(kind, name), "recognise", None)
        options = recogniser(state) if recogniser else None
        if options is not None:
            return {"name": name, **options}
    raise StylekitError(f"{source} contains weights of a {kind} that no installed plugin recognises.")


def channels_of(generator: Mapping[str, Any]) -> dict[str, int]:
    """The options ``channels`` and ``outputs`` of a method with a generator that :func:`read_generators` returned; none for
    RGB."""
    channels = generator.get("channels", 3)
    outputs = {"outputs": generator["outputs"]} if "outputs" in generator else {}
    return {**({"channels": channels} if channels != 3 else {}), **outputs}


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
        translate = getattr(lookup.find_part("generator", spec["name"]), "translate", dict)
        states |= {f"{roles[marks[0]]}.{key}": value for key, value in translate(state).items()}
    return first, states
