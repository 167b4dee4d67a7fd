"""Model files: one safetensors file that knows its method and settings, and so how to build it again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

import stylekit
from stylekit.errors import StylekitError
from stylekit.method import Method
from stylekit.registry import lookup, provenance
from stylekit.registry.parts import make
from stylekit.registry.schema import arguments as arguments_of
from stylekit.registry.schema import override
from stylekit.weights import pretrained
from stylekit.weights.foreign import read_state_dict
from stylekit.weights.tensors import fit, read_tensors, write_tensors

FORMAT = "1"


def model_header(method: Method, name: str) -> dict[str, str]:
    """What a file of weights says about itself."""
    return {
        "stylekit": stylekit.__version__,
        "format": FORMAT,
        "method": name,
        "origin": provenance.origin(method),
        "packages": json.dumps(provenance.packages(method)),
        "arguments": json.dumps(json_arguments(method.arguments)),
        "inference_modules": json.dumps(method.inference_modules),
    }


def json_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Constructor arguments as JSON values; a callable has no name to store, and becomes a note of which it was."""
    values: dict[str, Any] = json.loads(json.dumps(dict(arguments), default=_note))
    return values


def _note(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    target = getattr(value, "func", value)
    return {"callable": f"{getattr(target, '__module__', '?')}:{getattr(target, '__qualname__', repr(target))}"}


def save_model(method: Method, name: str, path: Path) -> None:
    """Writes a model file: what ``stylize`` needs, and how to build the method again.

    Args:
        method: the method
        name: the name that it is registered by
        path: the file, ending in ``.safetensors``

    Raises:
        StylekitError: no space is left, or the file cannot be written.
    """
    write_tensors(path, inference_state(method), model_header(method, name))


def inference_state(method: Method) -> dict[str, Tensor]:
    """The tensors that a model file holds."""
    return {
        key: tensor
        for key, tensor in method.state_dict().items()
        if not method.inference_modules or key.split(".")[0] in method.inference_modules
    }


def resolve_model_file(path: Path) -> Path:
    """The model file that a path means: itself, a run's model, or what is whole in a checkpoint.

    Raises:
        StylekitError: there is none.
    """
    if found := find_model_file(path):
        return found
    if path.is_dir():
        raise StylekitError(
            f"The folder {path} holds no model: neither a finished run nor a checkpoint. Give a run's folder, such as "
            "runs/NAME, or a .safetensors file."
        )
    shipped = "".join(f", {name}" for name in lookup.part_names("model"))
    raise StylekitError(
        f"There is no model {path}. Give a run's folder, such as runs/NAME, a .safetensors file, or a name: of a method "
        f"that needs no training, such as gatys, or of a shipped model{shipped and f' ({shipped[2:]})'}."
    )


def find_model_file(path: Path) -> Path | None:
    """The model file that a path means, if there is one."""
    files = (path, path / "model.safetensors", path / "method.safetensors")
    return next((file for file in files if file.is_file()), None)


def read_model(
    path: Path, factory: Callable[..., Method] | None = None, arguments: Mapping[str, Any] = {}
) -> tuple[Method, str]:
    """Builds the method that a model file holds.

    Args:
        path: the file
        factory: the method's class, where no plugin offers it
        arguments: constructor arguments in place of those in the file; ``part.option`` reaches into a part

    Returns:
        The method with its weights, and the name that it is registered by.

    Raises:
        StylekitError: a file of another kind or of a plugin that is not installed, or a missing, unknown or wrong-shaped
            tensor.
    """
    tensors, told = read_tensors(path)
    if "method" not in told:
        raise StylekitError(
            f"{path} is no model of stylekit: its header names no method. Weights of other programs come in with "
            "`stylekit import`."
        )
    if told.get("format") != FORMAT:
        raise StylekitError(
            f"{path} has format {told.get('format')!r}; this stylekit reads {FORMAT!r}. Update stylekit."
        )
    method = _build(told, factory, arguments, path)
    if not method.inference_modules:  # a checkpoint also holds what prepare() added, such as a teacher
        method.inference_modules = _inference_modules(told, path)
    restore_weights(method, path, tensors)
    return method, told["method"]


def restore_weights(method: Method, path: Path, tensors: Mapping[str, Tensor] | None = None) -> None:
    """Loads a model file into a method; submodules that it does not hold say so when they are used.

    Raises:
        StylekitError: a tensor is missing, unknown, or of another shape; the first is named.
    """
    tensors = read_tensors(path)[0] if tensors is None else tensors
    if not method.inference_modules:
        fit(method, tensors, path)
        return
    heads = {key.split(".")[0] for key in tensors}
    held = {name for name in method.inference_modules if name in heads} or set(method.inference_modules)
    children = dict(method.named_children()).keys()
    absent = (children | {key.split(".")[0] for key in method.state_dict()}) - held
    fit(method, {key: tensor for key, tensor in tensors.items() if key.split(".")[0] in held}, path, absent)
    for name in absent & children:
        setattr(method, name, _Absent(name, path))


def import_model(files: Sequence[Path], plugin: str, out: Path) -> str:
    """Turns weights that another program wrote into a model file, and says what they are.

    Raises:
        StylekitError: the method has no importer, the files are not of its kind, or they cannot be read or written.
    """
    if out.suffix != ".safetensors":
        raise StylekitError(f"A model file ends in .safetensors, and {out} does not.")
    if out.resolve() in {file.resolve() for file in files}:
        raise StylekitError(f"{out} is one of the files to read, and is not overwritten.")
    for file in files:  # elsewhere a file may have a published name and be the user's own
        if file.resolve().parent == pretrained.cache_folder().resolve():
            pretrained.verify(file)
    name, factory = lookup.find_method([plugin])
    reader = factory if isinstance(factory, type) and issubclass(factory, Method) else Method
    arguments, state = reader.import_weights({str(file): read_state_dict(file) for file in files})
    method: Method = make("method", name, **arguments)
    absent = {child for child, _ in method.named_children()} - {key.split(".")[0] for key in state}
    fit(method, state, files[0], absent)
    write_tensors(out, state, model_header(method, name))
    return ", ".join(f"{key}={value}" for key, value in json_arguments(arguments).items())


def _inference_modules(told: Mapping[str, str], path: Path) -> tuple[str, ...]:
    try:
        return tuple(map(str, json.loads(told.get("inference_modules", "[]"))))
    except (ValueError, TypeError) as error:
        raise StylekitError(f"{path} is damaged: its header does not list inference_modules ({error}).") from None


def _build(
    told: Mapping[str, str], factory: Callable[..., Method] | None, arguments: Mapping[str, Any], path: Path
) -> Method:
    name = told["method"]
    try:
        stored, needed = dict(json.loads(told["arguments"])), dict(json.loads(told.get("packages", "{}")))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise StylekitError(f"{path} is damaged: its header has no arguments of the method ({error}).") from None
    for key, value in stored.items():
        if isinstance(value, dict) and "callable" in value and key not in arguments:
            raise StylekitError(
                f"{path} was made with {key}={value['callable']}, which has no registered name. Give it again: "
                f"stylekit.load({str(path)!r}, {key}=...)."
            )
    if factory is not None:  # its package may be gone
        needed.pop(told.get("origin", "").rpartition(" ")[0], None)
    provenance.require_packages(needed, path)
    if factory is None and not lookup.part_owners("method", name):
        raise StylekitError(
            f"{path} belongs to the method {name!r} of {told.get('origin') or 'no plugin'}, which is not here. "
            f"{lookup.why_missing(name)}Install the package that offers it, name its file with --plugin FILE.py, or give its "
            "class: stylekit.load(..., method=...)."
        )
    try:
        known = arguments_of(factory or lookup.find_part("method", name))
        chosen = override(known, stored, arguments, f"method {name!r}")
        method: Method = make("method", factory or name, **chosen)
    except StylekitError as error:
        why = "does not take what is asked of it" if arguments else "holds a model that cannot be built here"
        raise StylekitError(f"{path} {why}. {error}") from None
    if factory is None and (others := needed.keys() - provenance.packages(method)):
        raise StylekitError(
            f"{path} was made with parts of {', '.join(others)}, and here their names mean parts of others."
        )
    return method


class _Absent(nn.Module):
    """Stands where a file has no weights, and says so when it is used."""

    def __init__(self, name: str, path: Path) -> None:
        super().__init__()
        self.message = (
            f"{path} holds no weights for {name!r}, which this needs. Take the other direction, or import or train it."
        )

    def forward(self, *_: Any, **__: Any) -> Tensor:
        raise StylekitError(self.message)
