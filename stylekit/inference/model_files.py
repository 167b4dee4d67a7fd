"""Model files: a safetensors file with weights, and a header with the method and its arguments, to rebuild it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from torch import Tensor, nn

import stylekit
from stylekit._files import real_path
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
    """The header of a file with the weights of a method."""
    return {
        "stylekit": stylekit.__version__,
        "format": FORMAT,
        "method": name,
        "origin": provenance.origin(method),
        "packages": json.dumps(provenance.packages(method)),
        "arguments": json.dumps(json_arguments(method.arguments)),
        "inference_modules": json.dumps(list(method.inference_modules)),
    }


def json_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Constructor arguments as JSON values; a callable cannot be stored, and is replaced by its module and name.

    Raises:
        StylekitError: another value cannot be stored; the message names the first such argument.
    """
    return {name: _json_value(name, value) for name, value in arguments.items()}


def _json_value(name: str, value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, default=_note))
    except (TypeError, ValueError) as error:
        raise StylekitError(f"The option {name!r} has a value that a model file cannot store: {error}.") from None


def _note(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Enum) and isinstance(value.value, str | int | float):
        return value.value
    if not callable(value):
        raise TypeError(
            f"a {type(value).__name__} is not a text, number, list, mapping, path, enum of texts or numbers, or callable"
        )
    target = getattr(value, "func", value)
    return {"callable": f"{getattr(target, '__module__', '?')}:{getattr(target, '__qualname__', repr(target))}"}


def save_model(method: Method, name: str, path: Path) -> None:
    """Writes a model file: the tensors that ``stylize`` needs, and how to rebuild the method.

    Args:
        method: the method
        name: registered name of the method
        path: the file, ending in ``.safetensors``

    Raises:
        StylekitError: no space is left, or the file cannot be written.
    """
    write_tensors(path, inference_state(method), model_header(method, name))


def inference_state(method: Method) -> dict[str, Tensor]:
    """The tensors that a model file contains."""
    return {
        key: tensor
        for key, tensor in method.state_dict().items()
        if not method.inference_modules or key.split(".")[0] in method.inference_modules
    }


def resolve_model_file(path: Path) -> Path:
    """The model file for a path: the path itself, the model of a run, or the weights of a checkpoint.

    Raises:
        StylekitError: there is no model file.
    """
    if file := find_model_file(path):
        return file
    if path.is_dir():
        raise StylekitError(
            f"The folder {path} contains no model: it is neither a finished run nor a checkpoint. Give a run's folder, such "
            "as runs/NAME, or a .safetensors file."
        )
    shipped = "".join(f", {name}" for name in lookup.part_names("model"))
    raise StylekitError(
        f"There is no model {path}. Give a run's folder, such as runs/NAME, a .safetensors file, or the name of a method "
        f"that needs no training, such as gatys, or of a shipped model{shipped and f' ({shipped[2:]})'}."
    )


def find_model_file(path: Path) -> Path | None:
    """The model file for a path, if there is one."""
    files = (path, path / "model.safetensors", path / "method.safetensors")
    return next((file for file in files if file.is_file()), None)


def read_model(
    path: Path, factory: Callable[..., Method] | None = None, arguments: Mapping[str, Any] = {}
) -> tuple[Method, str]:
    """Builds the method that a model file contains.

    Args:
        path: the file
        factory: the method's class, if no plugin registers it
        arguments: constructor arguments that replace those in the file; ``part.option`` sets a part's option

    Returns:
        The method with its weights, and its registered name.

    Raises:
        StylekitError: the file is not a model file, its plugin is not installed, or a tensor is missing, unknown or has
            another shape.
    """
    tensors, header = read_tensors(path)
    if "method" not in header:
        raise StylekitError(
            f"{path} is not a stylekit model: its header names no method. Convert weights of other programs with "
            "`stylekit import`."
        )
    if header.get("format") != FORMAT:
        raise StylekitError(
            f"{path} has format {header.get('format')!r}, but this stylekit reads {FORMAT!r}. Update stylekit."
        )
    method = _build(header, factory, arguments, path)
    if not method.inference_modules:  # a checkpoint also contains what prepare() added, such as a teacher
        method.inference_modules = _inference_modules(header, path)
    restore_weights(method, path, tensors)
    return method, header["method"]


def restore_weights(method: Method, path: Path, tensors: Mapping[str, Tensor] | None = None) -> None:
    """Loads a model file into a method. Submodules without weights in the file raise an error when they are called.

    Raises:
        StylekitError: a tensor is missing, unknown, or of another shape; the message names the first.
    """
    tensors = read_tensors(path)[0] if tensors is None else tensors
    if not method.inference_modules:
        fit(method, tensors, path)
        return
    prefixes = {key.split(".")[0] for key in tensors}
    present = {name for name in method.inference_modules if name in prefixes} or set(method.inference_modules)
    children = dict(method.named_children()).keys()
    absent = {key.split(".")[0] for key in method.state_dict()} - present  # not what has no tensors, such as nn.ReLU
    fit(method, {key: tensor for key, tensor in tensors.items() if key.split(".")[0] in present}, path, absent)
    for name in absent & children:
        setattr(method, name, _Absent(name, path))


def import_model(files: Sequence[Path], plugin: str, out: Path) -> str:
    """Converts the weights of another program to a model file; returns the arguments of the method as text.

    Raises:
        StylekitError: the method cannot import the files, or a file cannot be read or written.
    """
    if out.suffix != ".safetensors":
        raise StylekitError(f"The name of a model file must end in .safetensors, but {out} does not.")
    if real_path(out) in {real_path(file) for file in files}:
        raise StylekitError(f"{out} is one of the input files and is not overwritten. Give another --out.")
    for file in files:  # in other folders, a file with a published name may be the user's own
        if real_path(file).parent == real_path(pretrained.cache_folder()):
            pretrained.verify(file)
    name, factory = lookup.find_method([plugin])
    reader = factory if isinstance(factory, type) and issubclass(factory, Method) else Method
    arguments, state = reader.import_weights({str(file): read_state_dict(file) for file in files})
    method: Method = make("method", name, **arguments)
    absent = {child for child, _ in method.named_children()} - {key.split(".")[0] for key in state}
    fit(method, state, files[0], absent)
    write_tensors(out, state, model_header(method, name))
    return ", ".join(f"{key}={value}" for key, value in json_arguments(arguments).items())


def _inference_modules(header: Mapping[str, str], path: Path) -> tuple[str, ...]:
    try:
        return tuple(map(str, json.loads(header.get("inference_modules", "[]"))))
    except (ValueError, TypeError) as error:
        raise StylekitError(f"{path} is damaged: its header does not list inference_modules ({error}).") from None


def _build(
    header: Mapping[str, str], factory: Callable[..., Method] | None, arguments: Mapping[str, Any], path: Path
) -> Method:
    name = header["method"]
    try:
        stored, needed = dict(json.loads(header["arguments"])), dict(json.loads(header.get("packages", "{}")))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise StylekitError(f"{path} is damaged: its header has no valid arguments of the method ({error}).") from None
    for key, value in stored.items():
        if isinstance(value, dict) and "callable" in value and key not in arguments:
            raise StylekitError(
                f"{path} was made with {key}={value['callable']}, which has no registered name. Give it again: "
                f"stylekit.load({str(path)!r}, {key}=...)."
            )
    if factory is not None:  # its package may no longer be installed
        needed.pop(header.get("origin", "").rpartition(" ")[0], None)
    provenance.require_packages(needed, path)
    if factory is None and not lookup.part_owners("method", name):
        raise StylekitError(
            f"{path} needs the method {name!r} of {header.get('origin') or 'no plugin'}, which is not available. "
            f"{lookup.why_missing(name)}Install the package that provides it, give its file with --plugin FILE.py, or its "
            "class with stylekit.load(..., method=...)."
        )
    try:
        known = arguments_of(factory or lookup.find_part("method", name))
        chosen = override(known, stored, arguments, f"method {name!r}")
        method: Method = make("method", factory or name, **chosen)
    except StylekitError as error:
        reason = "with these arguments" if arguments else "with the installed plugins"
        raise StylekitError(f"The model {path} cannot be built {reason}. {error}") from None
    if factory is None and (others := needed.keys() - provenance.packages(method)):
        raise StylekitError(
            f"{path} was made with parts of {', '.join(others)}, but here their names belong to parts of other packages."
        )
    return method


class _Absent(nn.Module):
    """Replaces a submodule whose weights are not in the file; raises an error when it is called."""

    def __init__(self, name: str, path: Path) -> None:
        super().__init__()
        self.message = (
            f"{path} contains no weights for {name!r}, which are needed here. Use the other direction, or import or train "
            "them."
        )

    def forward(self, *_: Any, **__: Any) -> Tensor:
        raise StylekitError(self.message)
