"""Model files: a safetensors file with weights, and a header with the method and its arguments, to rebuild it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

import stylekit
from stylekit._files import is_file, real_path
from stylekit.errors import StylekitError, printable
from stylekit.inference.building import TooLarge, build_for
from stylekit.method import Method
from stylekit.registry import lookup, provenance
from stylekit.registry.lookup import MissingPart
from stylekit.registry.parts import make
from stylekit.registry.schema import arguments as arguments_of
from stylekit.registry.schema import override
from stylekit.weights import pretrained
from stylekit.weights.state_dicts import read_state_dict
from stylekit.weights.tensors import fit_sound, read_tensors, require_fit, write_tensors

FORMAT = "1"
SHOWN = 80
"""Maximum length of a name from a header in a message."""
LONGEST = 1000
"""Maximum length of what a message says about the values in a header."""


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
    return next(filter(is_file, files), None)


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
    tensors, texts = read_tensors(path)
    header = _read_header(texts, path, given=factory is not None)
    reason = "with these arguments" if arguments else "with the installed plugins"
    try:
        method = build_for(
            tensors,
            partial(_build, header, factory, arguments, path),
            lambda draft: _require_fit(draft, tensors, path),
        )
    except _Unusable:
        raise
    except Exception as error:  # unchecked arguments may raise any type in a constructor
        if isinstance(error, MissingPart):
            provenance.require_packages(header.packages, path)
        provenance.warn_versions(header.packages, path)
        details = " ".join(str(error).split())
        raise StylekitError(f"The model {path} cannot be built {reason}. {details[:LONGEST]}") from error
    _require_origin(method, header, path)
    _restore(method, path, tensors)
    return method, header.method


def _restore(method: Method, path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Loads the tensors of a model file into a newly built method. Submodules without weights in the file raise an error
    when they are called.

    Raises:
        StylekitError: a tensor is missing, unknown, damaged, or of another shape; the message names the first.
    """
    used, absent = _used(method, tensors)
    fit_sound(method, used, path, absent)
    for name in absent & dict(method.named_children()).keys():
        setattr(method, name, _Absent(name, path))


def _require_fit(method: Method, tensors: Mapping[str, Tensor], path: Path) -> None:
    used, absent = _used(method, tensors)
    try:
        require_fit(method, used, path, absent)
    except StylekitError as error:
        raise _Unusable(str(error)) from None


def _used(method: Method, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], set[str]]:
    """The tensors that the method loads, and the names of submodules that remain without weights."""
    if not method.inference_modules:
        return dict(tensors), set()
    prefixes = {key.split(".")[0] for key in tensors}
    present = {name for name in method.inference_modules if name in prefixes} or set(method.inference_modules)
    absent = {key.split(".")[0] for key in method.state_dict()} - present  # not what has no tensors, such as nn.ReLU
    return {key: tensor for key, tensor in tensors.items() if key.split(".")[0] in present}, absent


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

    def absent(method: Method) -> set[str]:
        return {child for child, _ in method.named_children()} - {key.split(".")[0] for key in state}

    def check(draft: Method) -> None:
        require_fit(draft, state, files[0], absent(draft))

    def build() -> Method:
        method: Method = make("method", name, **arguments)
        return method

    try:
        method = build_for(state, build, check)
    except TooLarge as error:
        raise StylekitError(f"{files[0]} cannot be imported. {error}") from None
    fit_sound(method, state, files[0], absent(method))
    write_tensors(out, state, model_header(method, name))
    return ", ".join(f"{key}={value}" for key, value in json_arguments(arguments).items())


class _Unusable(StylekitError):
    """An error whose message already names the file and the fix."""


@dataclass(frozen=True)
class _Header:
    """What a model file says about its method. Anyone may have written it."""

    method: str
    origin: str
    arguments: dict[str, Any]
    packages: dict[str, str]
    inference_modules: tuple[str, ...]


def _read_header(texts: Mapping[str, str], path: Path, given: bool) -> _Header:
    """Reads the texts of a header; ``given``: the user gives the method, so its package need not be installed."""
    if "method" not in texts:
        raise StylekitError(
            f"{path} is not a stylekit model: its header names no method. Convert weights of other programs with "
            "`stylekit import`."
        )
    if texts.get("format") != FORMAT:
        raise StylekitError(
            f"{path} has format {texts.get('format', '')[:SHOWN]!r}, but this stylekit reads {FORMAT!r}. Update stylekit."
        )
    if any(len(text) > SHOWN or not text.isprintable() for text in (texts["method"], texts.get("origin", ""))):
        raise StylekitError(f"{path} is damaged: its header has no valid name of a method.")
    packages = _header_value(texts, "packages", dict, path)
    provenance.require_valid(packages, path)
    if given:
        packages.pop(texts.get("origin", "").rpartition(" ")[0], None)
    return _Header(
        texts["method"],
        texts.get("origin", ""),
        _header_value(texts, "arguments", dict, path, required=True),
        packages,
        tuple(map(str, _header_value(texts, "inference_modules", list, path))),
    )


def _header_value(texts: Mapping[str, str], key: str, kind: type, path: Path, required: bool = False) -> Any:
    """A value that a header stores as JSON, of this type; an empty one if it is missing."""
    if key not in texts and not required:
        return kind()
    try:
        value = json.loads(texts[key])
    except (KeyError, ValueError, RecursionError):
        value = None
    if not isinstance(value, kind):
        raise StylekitError(f"{path} is damaged: its header has no valid {key} of the method.")
    return value


def _build(header: _Header, factory: Callable[..., Method] | None, arguments: Mapping[str, Any], path: Path) -> Method:
    for key, value in header.arguments.items():
        if isinstance(value, dict) and "callable" in value and key not in arguments:
            raise _Unusable(
                f"{path} was made with {printable(key[:SHOWN])}={printable(str(value['callable'])[:SHOWN])}, which has no "
                f"registered name. Give it again: stylekit.load({str(path)!r}, {printable(key[:SHOWN])}=...)."
            )
    if factory is None:
        _require_method(header, path)
    known = arguments_of(factory or lookup.find_part("method", header.method))
    chosen = override(known, header.arguments, arguments, f"method {header.method!r}")
    method: Method = make("method", factory or header.method, **chosen)
    if not method.inference_modules:  # a checkpoint also contains what prepare() added, such as a teacher
        method.inference_modules = header.inference_modules
    return method


def _require_method(header: _Header, path: Path) -> None:
    """Checks that the method is available. Packages of other names are imported only if the file lists an installed one."""
    if lookup.part_owners("method", header.method, everywhere=provenance.any_installed(header.packages)):
        return
    provenance.require_packages(header.packages, path)
    raise _Unusable(
        f"{path} needs the method {header.method!r} of {header.origin or 'no plugin'}, which is not available. "
        f"{lookup.why_missing(header.method)}Install the package that provides it, give its file with --plugin FILE.py, or "
        "its class with stylekit.load(..., method=...)."
    )


def _require_origin(method: Method, header: _Header, path: Path) -> None:
    """Checks that the parts came from the packages that the file lists, and warns about other versions."""
    used = provenance.packages(method)
    if others := header.packages.keys() - used.keys():
        names = ", ".join(sorted(others)[:3])
        raise StylekitError(
            f"{path} was made with parts of {names}, but here their names belong to parts of other packages."
        )
    provenance.warn_versions({name: header.packages[name] for name in used if name in header.packages}, path)


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
