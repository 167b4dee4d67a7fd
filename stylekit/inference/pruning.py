"""Prunes a trained model: writes one of the same method whose generators have fewer channels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stylekit.errors import StylekitError
from stylekit.inference.loading import load
from stylekit.inference.model_files import inference_state, save_state


def prune(source: Path | str, out: Path, keep: float) -> dict[str, Any]:
    """Writes a model file with a share of the channels of a model's generators, and returns the specification of
    the narrower ones.

    A generator says itself how it is narrowed: ``narrowed(keep)`` returns options and weights. The pruned model is usually
    worse until it is trained further: with ``stylekit train --init``, as a model of its method, or as a student.

    Args:
        source: a run's folder or a model file
        out: the file to write, ending in ``.safetensors``
        keep: the share of the channels to keep, above 0 and at most 1

    Raises:
        StylekitError: there is no such model, its generator cannot be narrowed, ``keep`` is out of range, or the file cannot
            be written.
    """
    if not 0 < keep <= 1:
        raise StylekitError(f"The share of channels to keep must be above 0 and at most 1, not {keep:g}.")
    if out.suffix != ".safetensors":
        raise StylekitError(f"The name of a model file must end in .safetensors, but {out} does not.")
    model = load(source, "cpu")
    part, state = model.method.arguments.get("generator"), inference_state(model.method)
    stored = {key.split(".")[0] for key in state}
    networks = {
        name: each for name, each in model.method.named_children() if name in stored and hasattr(each, "narrowed")
    }
    if not networks or not isinstance(part, str | Mapping):
        raise StylekitError(
            f"{source} cannot be pruned: its method {model.name!r} has no generator that is given by name and has a method "
            "narrowed(keep), such as resnet or unet."
        )
    changed: dict[str, Any] = {}
    for name, network in networks.items():
        changed, narrower = network.narrowed(keep)  # type: ignore[operator]
        state = {key: tensor for key, tensor in state.items() if key.split(".")[0] != name}
        state |= {f"{name}.{key}": tensor for key, tensor in narrower.items()}
    generator = {**({"name": part} if isinstance(part, str) else part), **changed}
    save_state(state, model.name, {**model.method.arguments, "generator": generator}, out, Path(source))
    return generator
