"""Loads models by their files or names, and several as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from stylekit.errors import StylekitError
from stylekit.inference import controls
from stylekit.inference.model import Model
from stylekit.inference.model_files import find_model_file, read_model, resolve_model_file
from stylekit.inference.options import stylize_options
from stylekit.inference.several import Several
from stylekit.inference.torch_defaults import torch_defaults
from stylekit.method import Method
from stylekit.native.devices import pick_device
from stylekit.registry import lookup
from stylekit.registry.parts import make
from stylekit.registry.schema import arguments, override, read_written
from stylekit.seeding import seeded


def load(
    run_or_file: Path | str | Sequence[Path | str | Model | tuple[Path | str | Model, float]],
    device: str | torch.device = "auto",
    method: Callable[..., Method] | None = None,
    **changes: Any,
) -> Model:
    """Loads the model of a run or a checkpoint, a model file, a shipped model, or a method that needs no training.

    Args:
        run_or_file: a run's folder, a checkpoint's folder, a ``.safetensors`` file, or the name of a model that a
            package ships, such as ``stylekit-any``, or of a method that needs no training, such as ``gatys``. A list of them,
            or of models, is one model: each stylises what the one before it made, such as a restorer and then a style. In a
            list of pairs (model, weight), each stylises the image itself, and the results are blended
        device: auto, cpu, cuda, mps, one of several such as cuda:1, or a ``torch.device``
        method: the method's class, if no plugin registers it
        changes: constructor arguments that replace those in the file, such as parts passed as callables, which a file
            cannot store, or the arguments of a method that is loaded by its name; ``part.option`` sets a part's option

    Raises:
        StylekitError: there is no such model, the file is not a model file, its plugin is not installed, or a tensor is
            missing, unknown or has another shape.
    """
    if isinstance(run_or_file, list | tuple):
        if method or changes:
            raise StylekitError(
                "Options are for one model. Load it with them first, and give the loaded model in the list."
            )
        return _several(run_or_file, device)
    if not isinstance(run_or_file, str | Path):
        raise StylekitError(f"A model is loaded by its path or its name, not by a {type(run_or_file).__name__}.")
    target = pick_device(device)
    # A folder without a model does not hide a name.
    if isinstance(run_or_file, str) and not find_model_file(Path(run_or_file)):
        if lookup.part_owners("model", run_or_file):
            factory = lookup.find_part("model", run_or_file)
            model: Model = factory(device=target, **read_written(arguments(factory), changes))
            return model
        if lookup.part_owners("method", run_or_file):
            return _untrained(run_or_file, target, changes)
    file = resolve_model_file(Path(run_or_file))
    built, name = read_model(file, method, changes)
    return Model(built.to(target), name, file)


def _several(given: Sequence[Any], device: str | torch.device) -> Model:
    """Loads several models as one: a list, or pairs with weights."""
    weighted = [each for each in given if isinstance(each, tuple)]
    if len(weighted) not in (0, len(given)) or not given:
        raise StylekitError(
            "Give each model a weight, for a blend, or none, to apply them one after the other."
            if given
            else "The list of models is empty. Give at least one."
        )
    sources = [each[0] for each in weighted] or given
    models = [each if isinstance(each, Model) else load(each, device) for each in sources]
    for model in models:
        model.require_pictures()
        if not model.method.stylizes() or model.keeps_state:
            fault = "keeps a state from frame to frame" if model.keeps_state else "draws samples and does not stylise"
            raise StylekitError(f"The method {model.name!r} {fault}, so it cannot be one of several models.")
    names, methods = [model.name for model in models], [model.method for model in models]
    weights = [controls.to_float(weight) for _, weight in weighted] or None
    several = Several(names, methods, [stylize_options(each) for each in methods], weights)
    return Model(several.to(pick_device(device)), "+".join(names))


def _untrained(name: str, device: torch.device, changes: Mapping[str, Any]) -> Model:
    """Builds a method by its name; it must not need training."""
    chosen = override(arguments(lookup.find_part("method", name)), {}, changes, f"method {name!r}")
    with seeded("load"), torch_defaults(torch.device("cpu")):
        method: Method = make("method", {**chosen, "name": name})
    if method.players():
        raise StylekitError(
            f"The method {name!r} must be trained first: `stylekit train --plugin {name}`. Then give the run's folder."
        )
    return Model(method.to(device), name)
